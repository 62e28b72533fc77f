"""The distill stage: another student is what lies in its files, whatever they are called and wherever they lie."""

from pathlib import Path
from typing import Any

import pytest

from hone.configs.recipe import parse_recipe
from hone.tasks import store
from hone.tasks.contracts import Checkpoint, DistilledModel, PreparedData, StageRecord, TrainedModel
from hone.tasks.distill import task
from hone.tasks.distill.task import distill_student
from hone.tasks.stage import RunContext, StageWorkspace, run_stage

RECORD = StageRecord(name="any", status="ran", reason="", seconds=1.0)


def checkpoint(artifact: Any) -> Checkpoint:
    numbers: dict[str, Any] = {"parameters": 1, "nonzero_parameters": 1, "validation_accuracy": 0.5}
    return Checkpoint(artifact=artifact, validation_loss=0.7, **numbers)


@pytest.fixture
def student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of another encoder. The stage does all that it does but the training itself."""

    def untrained(*arguments: Any, **settings: Any) -> DistilledModel:
        def body(workspace: StageWorkspace) -> dict[str, Any]:
            (workspace.folder / "checkpoint").mkdir()
            (workspace.folder / "checkpoint" / "model.safetensors").write_bytes(b"student")
            return {"checkpoint": checkpoint(workspace.artifact("checkpoint", []))}

        body.__module__ = task.__name__  # its code is what counts
        return run_stage(*arguments[:3], body, **settings)

    monkeypatch.setattr(task, "run_stage", untrained)
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "config.json").write_text('{"layers": 3}')
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def distill(folder: Path, student: Path, **more: Any) -> DistilledModel:
    for name in ("teacher", "splits"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "file").write_text(name)
    recipe = parse_recipe(
        {"data": {"train": "a.csv"}, "model": {"source": "a"}, "distill": {"student": str(student)}} | more
    )
    return distill_student.fn(
        RunContext(recipe=recipe, output=str(folder / "out"), storage=str(folder / "storage")),
        PreparedData(
            record=RECORD,
            artifact=store.describe(folder / "splits", []),
            content_digest="sha256:0",
            labels=["no", "yes"],
            rows={"train": 1},
        ),
        TrainedModel(record=RECORD, checkpoint=checkpoint(store.describe(folder / "teacher", []))),
    )


def test_a_student_whose_files_are_others_under_the_same_name_is_taught_again(tmp_path: Path, student: Path) -> None:
    assert [distill(tmp_path, student).record.status for _ in range(2)] == ["ran", "cached"]
    (student / "model.safetensors").write_bytes(b"other weights")
    changed = distill(tmp_path, student).record
    assert (changed.status, changed.reason) == ("ran", "input changed: student")


def test_the_same_student_in_another_folder_is_not_taught_again(tmp_path: Path, student: Path) -> None:
    distill(tmp_path, student)
    (student / "README.md").write_text("beside it")
    assert distill(tmp_path, student.rename(tmp_path / "moved")).record.status == "cached"


def test_another_seed_is_another_training(tmp_path: Path, student: Path) -> None:
    distill(tmp_path, student)
    assert distill(tmp_path, student, seed=1).record.reason == "seed 0 -> 1"
