"""Whatever becomes of the process is a result, and never an exception."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hone.tasks.model.runtime.runtime import Classifier
from hone.tasks.probe import probe as module
from hone.tasks.probe.probe import failure_reason, probe
from tests.register.conftest import write_model

Golden = Callable[..., Path]


@pytest.mark.parametrize("pairs", [False, True])
def test_the_exported_model_answers_every_request(golden: Golden, model_folder: Path, pairs: bool) -> None:
    found = probe(model_folder, golden(pairs))
    assert (found.requests, found.answered, found.error) == (5, 5, "")
    assert found.max_abs_difference < 1e-6
    assert 0 < found.load_seconds < 60
    assert 10e6 < found.peak_memory_bytes < 2e9
    assert failure_reason(found) == ""


def test_texts_are_cleaned_on_their_way_in(golden: Golden, model_folder: Path) -> None:
    path = golden()
    asked = json.loads(path.read_text())
    for request in asked["requests"]:
        request["text"] = f"  {request['text'].upper()} !"
    path.write_text(json.dumps(asked))
    assert probe(model_folder, path).answered < 5
    write_model(model_folder, lowercase=True, strip_punctuation=True)
    assert probe(model_folder, path).answered == 5


def test_the_session_is_the_one_that_is_written_beside_the_model(golden: Golden, model_folder: Path) -> None:
    path = golden()
    (model_folder / "session.json").write_text(json.dumps({"providers": ["nothing like it"], "threads": 1}))
    assert "nothing like it" in probe(model_folder, path).error


def test_a_text_that_is_cut_at_its_other_side_is_answered_otherwise(golden: Golden, model_folder: Path) -> None:
    path = golden()
    words = "good good good good good good bad bad bad bad bad bad"
    answered = list(Classifier(model_folder).answers([words])[0]["probabilities"].values())
    one = {"requests": [{"text": words}], "probabilities": [answered]}
    path.write_text(json.dumps(json.loads(path.read_text()) | one))
    assert probe(model_folder, path).answered == 1
    tokenizer = json.loads((model_folder / "tokenizer.json").read_text())
    tokenizer["truncation"]["direction"] = "Left"
    (model_folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert probe(model_folder, path).answered == 0


def test_another_model_answers_fewer(golden: Golden, model_folder: Path) -> None:
    path = golden()
    write_model(model_folder, seed=1)
    found = probe(model_folder, path)
    assert found.error == ""
    assert found.answered < found.requests
    assert found.max_abs_difference > 1e-3
    assert f"answers {found.answered} of 5 golden requests as it did when it was evaluated" in failure_reason(found)


def test_labels_in_another_order_answer_nothing(golden: Golden, model_folder: Path) -> None:
    path = golden()
    names = json.loads((model_folder / "config.json").read_text())["id2label"].values()
    turned = dict(zip("012", [*list(names)[1:], *list(names)[:1]], strict=True))
    (model_folder / "config.json").write_text(json.dumps({"id2label": turned}))
    found = probe(model_folder, path)
    assert (found.answered, found.error) == (0, "")


@pytest.mark.parametrize(
    ("broken", "error"), [("model.onnx", "model.onnx"), ("tokenizer.json", "EOF"), ("config.json", "JSONDecodeError")]
)
def test_a_model_that_does_not_load_says_why(golden: Golden, model_folder: Path, broken: str, error: str) -> None:
    path = golden()
    (model_folder / broken).write_bytes(b"")
    found = probe(model_folder, path)
    assert (found.requests, found.answered) == (5, 0)
    assert error in found.error
    assert failure_reason(found).startswith("it does not load or answer in a fresh process: ")


def test_a_process_that_hangs_is_ended(golden: Golden, model_folder: Path) -> None:
    assert probe(model_folder, golden(), limit_seconds=0.01).error == "it had not answered after 0.01 s"


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9 (out of memory?)"),
        ("raise SystemExit(3)", "(it said nothing)"),
        ("", "the process left no answer"),
    ],
)
def test_a_process_that_dies_is_told(
    golden: Golden, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, error: str
) -> None:
    (tmp_path / "dies.py").write_text(program)
    monkeypatch.setattr(module, "WORKER", tmp_path / "dies.py")
    found = probe(model_folder, golden())
    assert (found.requests, found.answered) == (5, 0)
    assert found.error.startswith(error)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda asked: None, "golden.json cannot be read: "),
        (lambda asked: {"requests": []}, "golden.json cannot be read: "),
        (lambda asked: asked | {"requests": [], "probabilities": []}, "golden.json holds no requests"),
    ],
)
def test_without_golden_requests_nothing_is_shown(
    golden: Golden, model_folder: Path, change: Callable[[Any], Any], error: str
) -> None:
    path = golden()
    changed = change(json.loads(path.read_text()))
    path.write_text(json.dumps(changed)) if changed is not None else path.unlink()
    found = probe(model_folder, path)
    assert found.error.startswith(error)
    assert failure_reason(found)


def test_where_the_process_starts_and_what_is_in_pythonpath_changes_nothing(
    golden: Golden, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('not this one')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    relative = Path(os.path.relpath(model_folder)), Path(os.path.relpath(golden()))
    assert probe(*relative).answered == 5


def test_the_process_that_runs_a_models_code_holds_no_credential_of_ours(
    golden: Golden, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can put code beside a model would read them there; the files are at hand, so it needs none."""
    (tmp_path / "tells.py").write_text("import os, sys; sys.exit(' '.join(f'{k}={v}' for k, v in os.environ.items()))")
    monkeypatch.setattr(module, "WORKER", tmp_path / "tells.py")
    monkeypatch.setattr(module, "LONGEST_ERROR", 100_000)
    planted = "planted-7731"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", planted)
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", f"postgresql://ana:{planted}@db/prefect")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ana:{planted}@mlflow:5000")
    monkeypatch.setenv("HONE_HARMLESS", "stays")
    told = probe(model_folder, golden()).error
    assert "HONE_HARMLESS=stays" in told
    assert planted not in told
