"""What the champion answers on another run's test split, and when nobody asks it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hone.configs.recipe import parse_recipe
from hone.tasks import evidence, store, tracking
from hone.tasks.champion.answers import answer, asked_as
from hone.tasks.champion.task import evaluate_champion
from hone.tasks.contracts import ExportedModels, OnnxModel, PreparedData, StageRecord
from hone.tasks.errors import RegistryError
from hone.tasks.gate.champion import champion_checks
from hone.tasks.gate.decision import decide
from hone.tasks.model.text import read_split
from hone.tasks.objectives.judging import judging
from hone.tasks.objectives.labels import UNHEARD
from hone.tasks.objectives.text_classification.metrics import statistics_of
from hone.tasks.stage import RunContext

OWN = {"max_length": 16, "lowercase": False, "strip_punctuation": False}
ASKED = {"served": OWN, "batch_size": 8, "providers": ["cpu"], "threads": 1}
JUDGING = judging("text-classification")
RECORD = StageRecord(name="export", status="ran", reason="first run of this stage", seconds=1.0)


def test_its_labels_are_matched_by_their_names(tiny_onnx_folder: Path, prepared_folder: Path) -> None:
    rows = read_split(prepared_folder, "test")
    own = answer(tiny_onnx_folder, rows, ["bad", "good"], JUDGING, **ASKED)
    other = answer(tiny_onnx_folder, rows, ["good", "new", "bad"], JUDGING, **ASKED)
    assert own.shape == (60, 2)
    assert np.array_equal(other[:, [2, 0]], own)
    assert (other[:, 1] == UNHEARD).all()
    assert (other.argmax(axis=1) != 1).all()


@pytest.fixture
def parts(tiny_onnx_folder: Path, prepared_folder: Path, tmp_path: Path):
    exported = store.describe(tiny_onnx_folder, [])
    model = OnnxModel(
        name="quantized",
        stage="quantize",
        artifact=exported,
        precision="fp32",
        parameters=1,
        graph_bytes=1,
        source=exported,
    )
    data = PreparedData(
        record=RECORD,
        artifact=store.describe(prepared_folder, []),
        content_digest="sha256:0",
        labels=["bad", "good"],
        rows={"train": 200, "validation": 40, "test": 60},
    )
    return data, ExportedModels(record=RECORD, models=[model])


def context(folder: Path, run_id: str = "run", **gate: object) -> RunContext:
    tree = {"name": "tickets", "data": {"train": "a.csv"}, "model": {"source": "a", "max_length": 16}, "gate": gate}
    return RunContext(recipe=parse_recipe(tree), output=str(folder), storage=str(folder), mlflow_run_id=run_id)


def champion(monkeypatch: pytest.MonkeyPatch, folder: Path, digest: str) -> None:
    """A registered champion, as the registry would tell of it."""
    version = tracking.Version("tickets", "7", "models:/m-1", "run", {"hone.model_digest": digest}, ("champion",))
    monkeypatch.setattr(tracking, "version_at", lambda name, alias: version)
    monkeypatch.setattr(tracking, "download", lambda found, place: {"model": folder})
    monkeypatch.setattr(tracking, "stage_run", lambda run_id, stage: untracked())


def untracked():
    from contextlib import nullcontext

    return nullcontext(tracking.StageLog())


def test_another_champion_answers_every_row_of_the_test_split(parts, tiny_onnx_folder, tmp_path, monkeypatch) -> None:
    champion(monkeypatch, tiny_onnx_folder, "sha256:another")
    found = evaluate_champion.fn(context(tmp_path), *parts)
    assert (found.version, found.record.status) == ("7", "ran")
    assert found.artifact is not None
    logits = evidence.read_logits(store.open_artifact(found.artifact), "champion")
    assert logits is not None
    assert logits.shape == (60, 2)
    assert evaluate_champion.fn(context(tmp_path), *parts).record.status == "cached"


def test_the_very_model_of_this_run_is_not_asked(parts, tiny_onnx_folder, tmp_path, monkeypatch) -> None:
    champion(monkeypatch, tiny_onnx_folder, parts[1].models[-1].artifact.digest)
    found = evaluate_champion.fn(context(tmp_path), *parts)
    assert (found.record.status, found.record.reason) == ("skipped", "version 7 is this very model")
    assert found.artifact is None


@pytest.mark.parametrize(
    ("run_id", "gate", "reason"),
    [("", {}, "tickets has no champion yet"), ("run", {"compare_champion": False}, "gate.compare_champion is false")],
)
def test_nobody_is_asked_where_there_is_no_champion_or_the_recipe_does_not_want_it(
    parts, tiny_onnx_folder, tmp_path, monkeypatch, run_id, gate, reason
) -> None:
    champion(monkeypatch, tiny_onnx_folder, "sha256:another")
    assert evaluate_champion.fn(context(tmp_path, run_id, **gate), *parts).record.reason == reason


def served_folder(folder: Path, exported: Path, **settings: object) -> dict[str, Path]:
    """The exported model as a version that is served with these settings."""
    shutil.copytree(exported, folder)
    (folder / "serving.json").write_text(json.dumps({**OWN, **settings}))
    return {"model": folder}


def test_it_is_asked_as_it_is_served_and_not_as_the_new_model_is(tiny_onnx_folder, tmp_path) -> None:
    files = served_folder(tmp_path / "served", tiny_onnx_folder, max_length=4, lowercase=True)
    folder, served = asked_as("tickets version 7", files, OWN)
    assert (folder, served["max_length"], served["lowercase"]) == (files["model"], 4, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_length": 100_000, "lowercase": True}, "is served with max_length 100000, and it reads at most"),
        ({"lowercase": False}, "reads text without data.lowercase"),
    ],
)
def test_what_cannot_be_asked_as_it_is_served_is_said(tiny_onnx_folder, tmp_path, change, message) -> None:
    files = served_folder(tmp_path / "served", tiny_onnx_folder, **change)
    with pytest.raises(RegistryError, match=message):
        asked_as("tickets version 7", files, {**OWN, "lowercase": True})
    with pytest.raises(RegistryError, match="files are not there any more"):
        asked_as("tickets version 7", {"model": tmp_path / "gone"}, OWN)


def test_a_champion_that_is_gone_or_a_registry_that_is_away_is_told_and_keeps_the_comparison_open(
    parts, tiny_onnx_folder, tmp_path, monkeypatch
) -> None:
    champion(monkeypatch, tiny_onnx_folder, "sha256:another")

    def away(*_: object) -> None:
        raise RegistryError("its files cannot be fetched")

    monkeypatch.setattr(tracking, "download", away)
    gone = evaluate_champion.fn(context(tmp_path), *parts)
    monkeypatch.setattr(tracking, "version_at", away)
    found = evaluate_champion.fn(context(tmp_path), *parts)
    for asked in (gone, found):
        assert (asked.missing, asked.artifact) == ("its files cannot be fetched", None)
        assert asked.record.reason == "not compared: its files cannot be fetched"
    targets = np.arange(40) % 2
    statistics = statistics_of(targets, targets, 2)
    settings = context(tmp_path).recipe.gate
    checks = decide(champion_checks(settings, found, JUDGING, targets, statistics, 0), level=0.05)
    assert [(check.subject, check.verdict, check.value) for check in checks] == [("champion", "INCONCLUSIVE", None)]
    assert "set gate.compare_champion: false" in checks[0].detail
