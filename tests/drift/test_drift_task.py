"""Drift is told and decides nothing: a run goes on where it cannot be measured, and says why."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from hone.configs.recipe import parse_recipe
from hone.tasks import lineage, store, tracking
from hone.tasks.contracts import PreparedData, StageRecord
from hone.tasks.drift import task
from hone.tasks.errors import DamagedArtifactError, HoneError, ModelError, RegistryError, StorageError
from hone.tasks.stage import RunContext
from hone.tasks.tracking import StageLog, Version

RECORD = StageRecord(name="data", status="ran", reason="", seconds=1.0)


def data(folder: Path, content: str) -> PreparedData:
    folder.mkdir()
    (folder / "train.parquet").write_text(content)
    artifact = store.describe(folder, [])
    return PreparedData(record=RECORD, artifact=artifact, content_digest="sha256:0", labels=["no"], rows={"train": 1})


@pytest.mark.parametrize("error", [RegistryError, StorageError, DamagedArtifactError, ModelError])
@pytest.mark.parametrize("where", ["version_at", "download"])
def test_whatever_keeps_the_data_from_being_compared_is_told_and_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[HoneError], where: str
) -> None:
    shown: list[dict[str, Any]] = []

    def away(*_: object) -> None:
        raise error("http://ana:planted-7731@store does not answer")

    champion = Version("tickets", "3", "models:/m-1", "run", {}, ("champion",))
    before = lineage.OldData(data(tmp_path / "before", "old"))
    monkeypatch.setattr(tracking, "version_at", lambda *_: champion)
    monkeypatch.setattr(lineage, "data_of_version", lambda _: before)
    monkeypatch.setattr(tracking, "stage_run", lambda *_: contextlib.nullcontext(StageLog()))
    monkeypatch.setattr(tracking, where, away)
    monkeypatch.setattr(task, "create_markdown_artifact", lambda text, **told: shown.append({"text": text, **told}))
    recipe = parse_recipe({"name": "tickets", "data": {"train": "a.csv"}, "model": {"source": "a"}})
    context = RunContext(recipe=recipe, output=str(tmp_path), storage=str(tmp_path / "storage"), mlflow_run_id="run")
    found = task.report_drift.fn(context, data(tmp_path / "now", "new"))
    told = "not compared: http://***@store does not answer"
    assert (found.record.status, found.record.reason, found.parts) == ("skipped", told, [])
    [artifact] = shown
    assert (artifact["key"], artifact["description"]) == ("tickets-drift", told)
