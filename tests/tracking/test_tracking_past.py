"""What earlier runs left: which came to a verdict last, and what their stages returned."""

from pathlib import Path
from typing import Any

import pytest

from hone.tasks import lineage, store, tracking
from hone.tasks.contracts import PreparedData, StageRecord
from hone.tasks.errors import PreflightError
from hone.tasks.gate.looks import next_look
from hone.tasks.tracking import Version, server

RECORD = StageRecord(name="data", status="ran", reason="first run of this stage", seconds=1.0)


@pytest.fixture
def data(tmp_path: Path) -> PreparedData:
    """Prepared data in a folder of the test's own."""
    folder = tmp_path / "splits"
    folder.mkdir()
    (folder / "labels.json").write_text("[]")
    return PreparedData(
        record=RECORD,
        artifact=store.describe(folder, ["sha256:a", "sha256:b"]),
        content_digest="sha256:c",
        labels=[],
        rows={"train": 1},
    )


def run(name: str, verdict: str = "", data: PreparedData | None = None) -> str:
    """A pipeline run that ended with this verdict, or with none."""
    with tracking.pipeline_run(name, {}, {"hone.recipe": name}) as run_id:
        if data is not None:
            with tracking.stage_run(run_id, "data") as log:
                log.result(data)
        # The promote stage tells the verdict too, in a run of its own.
        with tracking.stage_run(run_id, "promote") as log:
            log.tags({"hone.verdict": "ACCEPTED"})
        if verdict:
            with tracking.pipeline_log(run_id) as log:
                log.tags({"hone.verdict": verdict})
    return run_id


def version(**tags: str) -> Version:
    return Version("m", "3", "models:/m-1", "", {f"hone.{name}": value for name, value in tags.items()})


def test_the_last_run_is_the_newest_that_came_to_a_verdict_whatever_it_was(storage: Path) -> None:
    assert tracking.last_run("past-verdicts") is None
    run("past-verdicts", "ACCEPTED")
    rejected = run("past-verdicts", "REJECTED")
    run("past-verdicts")
    with pytest.raises(RuntimeError), tracking.pipeline_run("past-verdicts", {}, {"hone.verdict": "ACCEPTED"}):
        raise RuntimeError("stopped")
    found = tracking.last_run("past-verdicts")
    assert found is not None
    assert (found.run_id, found.verdict) == (rejected, "REJECTED")
    assert found.ended.timestamp() == pytest.approx(server.client().get_run(rejected).info.end_time / 1000, abs=1e-3)


def test_what_a_run_learned_from_is_recalled_to_the_digests_of_its_source(storage: Path, data: PreparedData) -> None:
    run_id = run("past-data", "ACCEPTED", data)
    assert lineage.data_of_run(run_id) == data
    assert lineage.data_of_version(version(pipeline_run_id=run_id)).data == data


def test_data_that_are_gone_or_changed_are_told_and_not_used(storage: Path, data: PreparedData) -> None:
    run_id = run("past-data", "ACCEPTED", data)
    (store.local_path(data.artifact) / "labels.json").write_text("[1]")
    found = lineage.data_of_version(version(pipeline_run_id=run_id))
    assert found.data is None
    assert "what m version 3 learned from is not there any more" in found.note


@pytest.mark.parametrize("tags", [{}, {"pipeline_run_id": "0" * 32}])
def test_a_version_whose_run_is_unknown_is_told(storage: Path, tags: dict[str, Any]) -> None:
    found = lineage.data_of_version(version(**tags))
    assert (found.data, found.note) == (None, "MLflow does not recall what m version 3 learned from")


def test_a_run_without_that_stage_recalls_nothing(storage: Path) -> None:
    assert lineage.data_of_run(run("past-data", "ACCEPTED")) is None


def test_verdicts_on_the_same_rows_are_counted_whatever_became_of_their_runs(storage: Path) -> None:
    def judged(recipe: str, number: int, model: str = "past-looks", rows: str = "sha256:past-looks") -> str:
        with tracking.pipeline_run(recipe, {}, {"hone.recipe": recipe}) as run_id:
            tags = {tracking.LOOK: str(number), tracking.LOOK_CANDIDATE: f"model {number}"}
            with tracking.pipeline_log(run_id) as log:
                log.tags({**tags, tracking.LOOK_MODEL: model, tracking.LOOK_ROWS: rows})
        return run_id

    judged("past-looks", 1)
    server.client().delete_run(judged("past-looks", 2))
    judged("past-looks-too", 3)  # another recipe of the same model
    judged("past-looks", 4, model="past-other")
    judged("past-looks", 5, rows="sha256:past-other")
    found = tracking.looks("past-looks", "sha256:past-looks")
    assert sorted((one.number, one.candidate) for one in found) == [(number, f"model {number}") for number in (1, 2, 3)]
    assert next_look(found, "model 4", 0.05, None).number == 4


def test_the_report_of_a_run_is_found_by_its_id_and_of_no_other_run(storage: Path, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    judged, stopped = run("past-reports", "ACCEPTED"), run("past-reports")
    with tracking.pipeline_log(judged) as log:
        log.file(tmp_path / "report.json")
    assert tracking.report(judged) == "{}"
    experiment = server.experiment_id("past-reports")
    ours = server.client().search_runs([experiment], f"tags.`mlflow.parentRunId` = '{judged}'")
    for run_id, told in {
        ours[0].info.run_id: f"the run of the stage promote: give the one it belongs to, {judged}",
        stopped: "a run of Hone that came to no verdict, so it has no report.json",
        server.client().create_run(experiment).info.run_id: "no run that Hone made",
        "f" * 32: "mlflow.db has no such run: name the storage of the run by --storage",
    }.items():
        with pytest.raises(PreflightError, match=told):
            tracking.report(run_id)
