"""The stage, from contract to contract, and the one after it. (On Ray, `tests/flows` runs it.)"""

from pathlib import Path

import pytest
import torch

from hone.configs.recipe import Recipe, parse_recipe
from hone.tasks import cluster, store
from hone.tasks.contracts import Checkpoint, PreparedData, PrunedModel, StageRecord, TrainedModel
from hone.tasks.model.checkpoints.checkpoint import load_model
from hone.tasks.model.training.loop import read_result, run
from hone.tasks.prune.masks import sparsity_of
from hone.tasks.prune.patterns import share_of_groups_kept
from hone.tasks.prune.task import prune_student
from hone.tasks.quantize.task import quantize_student
from hone.tasks.stage import RunContext
from tests.model.teaching_fixtures import write_data, write_teacher

RECORD = StageRecord(name="any", status="ran", reason="first run of this stage", seconds=1.0)


class Stages:
    """The two stages over one teacher, which is its own student."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        data = store.describe(write_data(folder / "data"), [])
        self.data = PreparedData(
            record=RECORD, artifact=data, content_digest=data.digest, labels=["bad", "good"], rows={"validation": 20}
        )
        checkpoint = Checkpoint(
            artifact=store.describe(write_teacher(folder / "teacher", layers=1), []),
            parameters=1,
            nonzero_parameters=1,
            validation_accuracy=0.5,
            validation_loss=0.7,
            notes={"teacher_layers": [0]},
        )
        self.teacher = TrainedModel(record=RECORD, checkpoint=checkpoint)

    def prune(self, **settings: object) -> PrunedModel:
        return prune_student.fn(self._context(prune=settings), self.data, self.teacher, self.teacher)

    def round(self, pruned: PrunedModel) -> Path:
        context = self._context(quantize={"method": "ptq", "max_sensitive_layers": 0})
        made = quantize_student.fn(context, self.data, self.teacher, pruned)
        return store.open_artifact(made.checkpoint.artifact)

    def _context(self, **sections: object) -> RunContext:
        recipe: Recipe = parse_recipe(
            {"data": {"train": "unused.csv"}, "model": {"source": "unused", "max_length": 32}, **sections}
        )
        return RunContext(recipe=recipe, output=str(self.folder / "out"), storage=str(self.folder / "storage"))


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stages:
    """With the training in this process, as Ray takes its time."""
    torch.set_num_threads(1)
    monkeypatch.setattr(cluster, "start", lambda *_: None)
    monkeypatch.setattr(cluster, "train", lambda job, *_: run(job) or read_result(job))
    return Stages(tmp_path)


def test_a_pattern_is_counted_after_the_recovery_and_outlives_the_rounding(stages: Stages) -> None:
    made = stages.prune(method="wanda", pattern="2:4", epochs=2, learning_rate=3e-3, batch_size=8)
    notes = made.checkpoint.notes
    assert (notes["sparsity"], notes["pattern"], notes["groups_that_keep_the_pattern"]) == (0.5, "2:4", 1.0)
    assert [curve.steps[-1] for curve in made.checkpoint.curves if curve.name == "train_loss"] == [10]
    rounded = load_model(stages.round(made))
    assert share_of_groups_kept(rounded, 2, 4) == 1
    assert not torch.equal(
        rounded.classifier.weight, load_model(store.open_artifact(made.checkpoint.artifact)).classifier.weight
    )


def test_a_gradual_method_hands_on_the_sparsity_it_was_asked_for(stages: Stages) -> None:
    made = stages.prune(method="magnitude", schedule="cubic", sparsity=0.75, mask_steps=2, epochs=2, batch_size=8)
    assert made.checkpoint.notes["sparsity"] == pytest.approx(0.75, abs=1e-3)
    assert "pattern" not in made.checkpoint.notes
    saved = load_model(store.open_artifact(made.checkpoint.artifact))
    assert sparsity_of(saved) == made.checkpoint.notes["sparsity"]
    assert sparsity_of(load_model(stages.folder / "teacher")) < 0.01
