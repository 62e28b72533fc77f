"""What is logged beside the graph so that it can be served, and the proof that it answers there as it did here."""

import importlib.metadata
from pathlib import Path
from typing import Any

from hone.tasks import store, tracking
from hone.tasks.contracts import SessionSettings
from hone.tasks.errors import RegistryError
from hone.tasks.model.runtime.delivered import deliver
from hone.tasks.model.runtime.runtime import read_text_settings
from hone.tasks.objectives.text_generation.chat import has_template
from hone.tasks.probe.golden import read_golden
from hone.tasks.probe.probe import DOCUMENTS, QUESTIONS, RUNTIME, SENTENCES, failure_reason, probe

CODE = Path(__file__).with_name("serving_model.py")
SENTENCES_CODE = Path(__file__).with_name("serving_sentences.py")
QUESTIONS_CODE = Path(__file__).with_name("serving_questions.py")
DOCUMENTS_CODE = Path(__file__).with_name("serving_documents.py")
LIBRARIES = ("mlflow", "numpy", "onnxruntime", "onnxruntime-gpu", "pydantic", "tokenizers")
EXAMPLE_ROWS = 2


def requirements(task: str) -> list[str]:
    """The distributions that the files need which serve a model of a task, at the versions installed here."""
    installed = {distribution.name.lower() for distribution in importlib.metadata.distributions()}
    needed = sorted([*LIBRARIES, "jinja2"]) if task == "text-generation" else LIBRARIES  # for chat templates
    return [f"{name}=={importlib.metadata.version(name)}" for name in needed if name in installed]


def log(run_id: str, exported: Path, golden: Path, session: SessionSettings, room: Path) -> tuple[str, Path]:
    """Logs a model with all that serves it. Returns its URI, and where a copy lies that was fetched back.

    Args:
        exported: its folder.
        golden: its golden requests.
        room: an empty folder.

    Raises:
        RegistryError: when what came back is not what was sent, naming it.
    """
    delivered = deliver(exported, room / "model", session)
    texts = read_text_settings(delivered)
    code, files = served_by(texts.task)
    sent = {"model": delivered, "golden": golden, **files}
    source = tracking.log_model(
        run_id,
        code,
        sent,
        settings={"pairs": texts.pairs, "task": texts.task, "chats": has_template(delivered), "session": {}},
        example=read_golden(golden).rows[:EXAMPLE_ROWS],
        requirements=requirements(texts.task),
    )
    root = tracking.fetch(source, room / "logged")
    came_back = tracking.artifacts(root) | {"code": root / code.name}
    other = [name for name, path in (sent | {"code": code}).items() if _digest(path) != _digest(came_back[name])]
    if other:
        raise RegistryError(
            f"MLflow's artifact store gave back another {', '.join(other)} than it was sent: no version was made; look "
            f"at {source} before running again"
        )
    return source, root


def prove(root: Path, golden: Path) -> float:
    """Has a fresh process open a logged model as MLflow's server does and answer the golden requests. Returns the
    largest difference of a probability.

    Raises:
        RegistryError: when it does not answer each of them as it was evaluated.
    """
    found = probe(root, golden, logged=True)
    wrong = failure_reason(found)
    if wrong:
        raise RegistryError(
            f"the model loaded back from MLflow: {wrong}; no alias was set; look at the logged model before running "
            "again"
        )
    return found.max_abs_difference


def served_by(task: str) -> tuple[Path, dict[str, Path]]:
    """The file that MLflow runs for models of a task, and the files that it loads, by the name of their artifact."""
    others = {
        "token-classification": (SENTENCES_CODE, SENTENCES),
        "question-answering": (QUESTIONS_CODE, QUESTIONS),
        "text-generation": (DOCUMENTS_CODE, DOCUMENTS),
    }
    return others.get(task, (CODE, {"runtime": RUNTIME}))


def code_digests(task: str) -> dict[str, str]:
    """Of what serves a model of a task, by file."""
    code, files = served_by(task)
    return {path.name: store.file_digest(path) for path in (code, *files.values())}


def _digest(path: Path) -> Any:
    if path.is_dir():
        return store.folder_digest(path)
    return store.file_digest(path) if path.is_file() else None
