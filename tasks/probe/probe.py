"""Does a model load and answer where nothing of Hone is? A process of its own shows it, before anybody is served."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hone.tasks import words
from hone.tasks.contracts import Serving
from hone.tasks.model.runtime import decoding, runtime
from hone.tasks.objectives.question_answering import answering
from hone.tasks.objectives.text_generation import chat, generating
from hone.tasks.objectives.token_classification import spans, windows
from hone.tasks.probe.golden import Golden, read_golden
from hone.tasks.probe.worker import MLFLOW
from hone.tasks.redact import without_secrets

WORKER = Path(__file__).with_name("worker.py")
RUNTIME = Path(runtime.__file__)
"""The file that serves an exported folder."""
SENTENCES = {
    "runtime": RUNTIME,
    "words": Path(words.__file__),
    "windows": Path(windows.__file__),
    "spans": Path(spans.__file__),
}
"""The files that serve one that tags the words of sentences."""
QUESTIONS = {"runtime": RUNTIME, "answering": Path(answering.__file__)}
"""The files that serve one that answers questions."""
DOCUMENTS = {
    "runtime": RUNTIME,
    "decoding": Path(decoding.__file__),
    "chat": Path(chat.__file__),
    "generating": Path(generating.__file__),
}
"""The files that serve one that continues prompts and answers chats."""
LONGEST_ERROR = 500


def probe(folder: Path, golden: Path, limit_seconds: float = 300, logged: bool = False) -> Serving:
    """Has a fresh process load the exported model in `folder` and answer the golden requests.

    Whatever becomes of that process is a result: one that dies, hangs or cannot load gives an `error`, and a request
    that is answered otherwise than expected is one fewer `answered`.

    Args:
        golden: the file that `golden.write_golden` wrote.
        logged: whether the folder is what MLflow logged, with the code that it serves: that code is then run.
    """
    try:
        asked = read_golden(golden)
    except (OSError, ValueError) as error:
        return _failed(0, f"{golden.name} cannot be read: {error}")
    if not asked.requests:
        return _failed(0, f"{golden.name} holds no requests, and none would show nothing")
    with tempfile.TemporaryDirectory(prefix="hone-probe-") as room:
        answer = Path(room, "answer.json")
        # -I: nothing of the folder it starts in, of PYTHONPATH or of the user's own packages. -B: nothing is left.
        program, *files = [str(path.resolve()) for path in (WORKER, folder, golden)]
        served_by = str(RUNTIME)
        if asked.spans is not None or asked.answers is not None or asked.continuations is not None:
            files_by_name = (
                SENTENCES if asked.spans is not None else QUESTIONS if asked.answers is not None else DOCUMENTS
            )
            served_by = os.pathsep.join(f"{name}={file}" for name, file in files_by_name.items())
        how = MLFLOW if logged else served_by
        try:
            ended = subprocess.run(
                [sys.executable, "-I", "-B", program, how, *files, str(answer)],
                cwd=room,
                env=without_secrets(os.environ),  # the files lie here already, and their code is to hold no key
                capture_output=True,
                text=True,
                timeout=limit_seconds,
                check=False,
            )
            told = json.loads(answer.read_text(encoding="utf-8")) if ended.returncode == 0 else None
        except subprocess.TimeoutExpired:
            return _failed(len(asked.requests), f"it had not answered after {limit_seconds:g} s")
        except (OSError, ValueError) as error:
            return _failed(len(asked.requests), f"the process left no answer: {error}")
    return _failed(len(asked.requests), _last_words(ended)) if told is None else _judged(asked, told)


def failure_reason(serving: Serving) -> str:
    """What is wrong with the answers, in a few words; empty where each came as expected."""
    if serving.error:
        return f"it does not load or answer in a fresh process: {serving.error}"
    if serving.answered < serving.requests:
        return (
            f"in a fresh process it answers {serving.answered} of {serving.requests} golden requests as it did when it "
            f"was evaluated; the largest difference of a probability is {serving.max_abs_difference:.2g}"
        )
    return ""


def _judged(asked: Golden, told: dict[str, Any]) -> Serving:
    answers = told["answers"]
    right = [one for one in answers if one["label_expected"] and one["max_abs_difference"] <= asked.tolerance]
    return Serving(
        requests=len(asked.requests),
        answered=len(right),
        max_abs_difference=max(one["max_abs_difference"] for one in answers),
        load_seconds=round(told["load_seconds"], 4),
        peak_memory_bytes=told["peak_memory_bytes"],
    )


def _failed(requests: int, error: str) -> Serving:
    """Nothing was answered; 1 is the most that a probability can be off by."""
    return Serving(
        requests=requests,
        answered=0,
        max_abs_difference=1.0,
        load_seconds=0.0,
        peak_memory_bytes=0,
        error=error[:LONGEST_ERROR],
    )


def _last_words(ended: subprocess.CompletedProcess[str]) -> str:
    said = ([line for line in ended.stderr.splitlines() if line.strip()] or ["(it said nothing)"])[-1]
    if ended.returncode < 0:
        memory = " (out of memory?)" if ended.returncode == -9 else ""
        return f"killed by signal {-ended.returncode}{memory}: {said}"
    return said
