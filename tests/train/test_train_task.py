"""The train stage: what it hands on, and that it is not done twice. (On Ray, `tests/flows` runs it.)"""

import json
from pathlib import Path

import pytest

from hone.configs.recipe import Recipe
from hone.tasks import store
from hone.tasks.contracts import PreparedData, StageRecord
from hone.tasks.errors import ModelError
from hone.tasks.stage import RunContext
from hone.tasks.train.task import train_teacher
from tests.model.training_fixtures import LABELS, write_data
from tests.tiny import write_encoder


def prepared(folder: Path) -> PreparedData:
    write_data(folder, train=64, validation=20)
    return PreparedData(
        record=StageRecord(name="data", status="ran", reason="", seconds=0.0),
        artifact=store.describe(folder, []),
        content_digest="sha256:0",
        labels=LABELS,
        rows={"train": 64, "validation": 20},
    )


def context(folder: Path, source: str, **model: object) -> RunContext:
    recipe = Recipe.model_validate(
        {
            "data": {"train": "unused.csv"},
            "model": {"source": source, "weights": "random", "max_length": 32, **model},
            "train": {"epochs": 2, "learning_rate": 2e-3},
            "compute": {"cpus_per_worker": 1},
        }
    )
    return RunContext(recipe=recipe, output=str(folder / "output"), storage=str(folder / "storage"))


@pytest.mark.usefixtures("works_here")
def test_the_stage_hands_on_the_best_checkpoint_and_does_its_work_once(tmp_path: Path) -> None:
    data, run = prepared(tmp_path / "data"), context(tmp_path, str(write_encoder(tmp_path / "encoder", layers=2)))
    made = train_teacher.fn(run, data)
    checkpoint = made.checkpoint
    folder = store.open_artifact(checkpoint.artifact)
    assert made.record.status == "ran"
    assert made.record.digest == checkpoint.artifact.digest
    assert {path.name for path in folder.iterdir()} >= {"model.safetensors", "config.json", "tokenizer.json"}
    assert json.loads((folder / "config.json").read_text())["id2label"] == {"0": "bad", "1": "good"}
    assert checkpoint.artifact.made_from[0] == data.artifact.digest
    assert 0 < checkpoint.nonzero_parameters <= checkpoint.parameters
    curves = {curve.name: curve for curve in checkpoint.curves}
    assert curves["train_loss"].steps == [1, 2, 3, 4]
    assert max(curves["validation_accuracy"].values) == checkpoint.validation_accuracy
    again = train_teacher.fn(run, data)
    assert again.record.status == "cached"
    assert again.checkpoint == checkpoint
    # Elsewhere, and with what nobody loads beside it, it is the same encoder.
    moved = (tmp_path / "encoder").rename(tmp_path / "moved")
    (moved / "README.md").write_text("about it")
    (moved / ".git").mkdir()
    (moved / ".DS_Store").write_bytes(b"0")
    assert train_teacher.fn(context(tmp_path, str(moved)), data).record.status == "cached"


def test_an_encoder_that_is_not_there_stops_the_stage_before_ray_starts(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no such folder"):
        train_teacher.fn(context(tmp_path, "/no/such/encoder"), prepared(tmp_path / "data"))
    assert not (tmp_path / "storage").exists()
