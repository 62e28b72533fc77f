"""The process that answers golden requests as a server does: `python -I worker.py HOW FOLDER GOLDEN ANSWER`.

HOW is the file that serves an exported FOLDER (`runtime.py`), or, where that tags words, answers questions, continues
prompts or answers chats, the files that do (`probe.SENTENCES`, `probe.QUESTIONS`, `probe.DOCUMENTS`) as NAME=PATH with
the path separator between them, or `mlflow`, for a FOLDER that MLflow logged and that `mlflow.pyfunc` loads, as its own
server does. Nothing of Hone or of what trained the model can be imported: that it answers proves that none of it is
needed.
"""

# ruff: noqa: E402
import sys

MLFLOW = "mlflow"
REFUSED = {"hone", "tasks", "flows", "configs", "torch", "transformers"}


class Refusal:
    """Finds none of the refused modules, wherever they are installed."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """None lets the next finder look."""
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(f"{name}: not there where the model is served", name=name)


if __name__ == "__main__":
    sys.meta_path.insert(0, Refusal)

import importlib.util
import json
import math
import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Answer = Callable[[dict[str, Any]], Any]
"""From a request to what the served model says of it: a text's label, labels or number, a sentence's entities, the
answer to a question, or what follows a prompt."""
Judge = Callable[[Any, int], dict[str, Any]]
"""Holds an answer against what request of that place is to be answered."""
ENTITY = ("start", "end", "text", "type")
SPAN = ("start", "end", "answer")


def load(name: str, file: Path) -> Any:
    """A file as a module of this name."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def open_sentences(files: dict[str, Path], folder: Path) -> Answer:
    """An exported folder that tags words, by the files that serve it."""
    modules = {name: load(f"hone_{name}", file) for name, file in files.items()}
    model = modules.pop("spans").Tagger(folder, **modules)
    return lambda request: model.answers([request["text"] if "text" in request else request["tokens"]])[0]


def open_questions(files: dict[str, Path], folder: Path) -> Answer:
    """An exported folder that answers questions, by the files that serve it."""
    modules = {name: load(f"hone_{name}", file) for name, file in files.items()}
    model = modules.pop("answering").Answerer(folder, **modules)
    return lambda request: model.answers([request["question"]], [request["context"]])[0]


def open_documents(files: dict[str, Path], folder: Path) -> Answer:
    """An exported folder that continues prompts and answers chats, by the files that serve it."""
    modules = {name: load(f"hone_{name}", file) for name, file in files.items()}
    model = modules.pop("generating").Generator(folder, **modules)
    return lambda request: model.answers([request["messages"] if "messages" in request else request["prompt"]])[0]


def open_folder(runtime: Path, folder: Path) -> Answer:
    """An exported folder, by the file that serves it."""
    model = load("hone_runtime", runtime).Classifier(folder)

    def one(request: dict[str, Any]) -> Any:
        pairs = [request["text_pair"]] if "text_pair" in request else None
        return model.answers([request["text"]], pairs)[0]

    return one


def open_logged(folder: Path) -> Answer:
    """A folder that MLflow logged, as MLflow's own server opens it."""
    import mlflow

    model = mlflow.pyfunc.load_model(str(folder))

    def one(request: dict[str, Any]) -> Any:
        row = request if len(request) > 1 or "messages" in request else next(iter(request.values()))
        (result,) = model.predict([row])
        return result

    return one


def judge(found: dict[str, float], expected: list[float], names: list[str], tolerance: float) -> dict[str, Any]:
    """Holds one answer against the expected one: the largest difference of a probability, and whether the label is the
    expected one, or one that the expected answer has within the tolerance of it.

    An answer that is no number, or has other labels, is off by 1, the most that a probability can be.
    """
    if list(found) != names or not all(math.isfinite(chance) for chance in found.values()):
        return {"max_abs_difference": 1.0, "label_expected": False}
    close = {name for name, chance in zip(names, expected, strict=True) if chance >= max(expected) - tolerance}
    return {
        "max_abs_difference": max(abs(found[name] - chance) for name, chance in zip(names, expected, strict=True)),
        "label_expected": max(found, key=lambda name: found[name]) in close,
    }


def judge_several(
    found: dict[str, Any], expected: list[float], names: list[str], tolerance: float, threshold: float
) -> dict[str, Any]:
    """The same of a text that may have several labels: those given have to be the expected ones, but for labels that
    the expected answer has within the tolerance of the threshold."""
    chances = dict(zip(names, expected, strict=True))
    told = judge(found["probabilities"], expected, names, tolerance)
    settled = {name for name, chance in chances.items() if abs(chance - threshold) > tolerance}
    given = {one["label"] for one in found["labels"]} & settled
    same = given == {name for name in settled if chances[name] > threshold}
    return told | {"label_expected": same and told["max_abs_difference"] < 1.0}


def judge_number(found: dict[str, Any], expected: float) -> dict[str, Any]:
    """The same of a number. One that is none is off by as much as the number itself, or by 1."""
    number = found["number"]
    if not math.isfinite(number):
        return {"max_abs_difference": max(1.0, abs(expected)), "label_expected": False}
    return {"max_abs_difference": abs(number - expected), "label_expected": True}


def judge_of(golden: dict[str, Any]) -> Judge:
    """How the answers to these golden requests are judged."""
    names, tolerance, chances = golden["labels"], golden["tolerance"], golden["probabilities"]
    spans, told, numbers, threshold = (golden.get(name) for name in ("spans", "answers", "numbers", "threshold"))
    written = golden.get("continuations")
    if written is not None:
        return lambda found, index: judge_continuation(found, written[index])
    if spans is not None:
        return lambda found, index: judge_spans(found, spans[index])
    if told is not None:
        return lambda found, index: judge_parts([found], [told[index]], SPAN)
    if numbers is not None:
        return lambda found, index: judge_number(found, numbers[index])
    if threshold is not None:
        return lambda found, index: judge_several(found, chances[index], names, tolerance, threshold)
    return lambda found, index: judge(found["probabilities"], chances[index], names, tolerance)


def judge_spans(found: Any, expected: list[dict[str, Any]]) -> dict[str, Any]:
    """Holds the entities of a sentence against the expected ones: they have to be the same, and scores may differ.

    Other entities, or a score that is no number, are off by 1, the most that a score can be.
    """
    return judge_parts(found, expected, ENTITY)


def judge_parts(found: Any, expected: list[dict[str, Any]], keys: Sequence[str]) -> dict[str, Any]:
    """Holds parts of a text with their scores against the expected ones.

    Args:
        keys: in which they have to be the same.
    """
    same = isinstance(found, list) and [[one.get(key) for key in keys] for one in found] == [
        [one[key] for key in keys] for one in expected
    ]
    if not same or not all(math.isfinite(one["score"]) for one in found):
        return {"max_abs_difference": 1.0, "label_expected": False}
    apart = [abs(one["score"] - other["score"]) for one, other in zip(found, expected, strict=True)]
    return {"max_abs_difference": max(apart, default=0.0), "label_expected": True}


def judge_continuation(found: Any, expected: dict[str, Any]) -> dict[str, Any]:
    """Holds a continuation against the expected one: the tokens of which another machine has to choose the same have to
    be the same, and where all of them are certain, so has the end; probabilities of these may differ.

    Other tokens, or a probability that is no number, are off by 1, the most that a probability can be.
    """
    certain = expected["certain"]
    tokens, scores = found["tokens"][:certain], found["scores"][:certain]
    whole = certain >= len(expected["scores"]) + expected["finished"]
    same = tokens == expected["tokens"][:certain] and (not whole or found["text"] == expected["text"])
    if not same or not all(math.isfinite(score) for score in scores):
        return {"max_abs_difference": 1.0, "label_expected": False}
    apart = [abs(one - other) for one, other in zip(scores, expected["scores"][:certain], strict=True)]
    return {"max_abs_difference": max(apart, default=0.0), "label_expected": True}


def peak_memory_bytes() -> int:
    """Largest resident set of this process since it began to run its own program.

    Not from getrusage where /proc tells it: ru_maxrss is handed on from parent to child, and would be the parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line)
        if "VmHWM" in fields:
            return int(fields["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def answer(how: str, folder: Path, golden: dict[str, Any]) -> dict[str, Any]:
    """Loads the model, answers every request by itself, and says what that took."""
    begun = time.perf_counter()
    if how == MLFLOW:
        ask = open_logged(folder)
    elif golden.get("answers") is not None:
        files = dict(part.split("=", 1) for part in how.split(os.pathsep))
        ask = open_questions({name: Path(file) for name, file in files.items()}, folder)
    elif golden.get("continuations") is not None:
        files = dict(part.split("=", 1) for part in how.split(os.pathsep))
        ask = open_documents({name: Path(file) for name, file in files.items()}, folder)
    elif golden.get("spans") is not None:
        files = dict(part.split("=", 1) for part in how.split(os.pathsep))
        ask = open_sentences({name: Path(file) for name, file in files.items()}, folder)
    else:
        ask = open_folder(Path(how), folder)
    load_seconds = time.perf_counter() - begun
    judged = judge_of(golden)
    answers = [judged(ask(request), index) for index, request in enumerate(golden["requests"])]
    return {"load_seconds": load_seconds, "peak_memory_bytes": peak_memory_bytes(), "answers": answers}


if __name__ == "__main__":
    served_by = sys.argv[1]
    model_folder, golden_file, answer_file = (Path(argument) for argument in sys.argv[2:])
    told = answer(served_by, model_folder, json.loads(golden_file.read_text(encoding="utf-8")))
    answer_file.write_text(json.dumps(told), encoding="utf-8")
