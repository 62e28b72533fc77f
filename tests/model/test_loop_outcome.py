"""Which epoch of a training is kept, when it stops, and what it refuses to go on with."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from hone.tasks.errors import TrainingError
from hone.tasks.model.checkpoints.checkpoint import load_model
from hone.tasks.model.text import make_batch
from hone.tasks.model.training import loop
from hone.tasks.model.training.events import read_events
from hone.tasks.model.training.trainable import TrainingJob, TrainingResult, warnings_of
from hone.tasks.train.supervised import SupervisedTrainable, make_trainable
from tests.model.training_fixtures import curve, finish, make_job


def test_without_epochs_the_model_is_measured_and_kept_as_it_came(folder: Path) -> None:
    job = make_job(folder, "untrained", epochs=0)
    trainable = make_trainable(job, torch.device("cpu"))
    result = finish(job)
    expected = trainable.module.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in load_model(result.best).state_dict().items())
    batch = make_batch(trainable.validation, np.arange(40), 0, "cpu")
    logits = trainable.predict(batch).logits
    assert result.validation["accuracy"] == int((logits.argmax(1) == batch["labels"]).sum()) / 40
    loss = float(nn.functional.cross_entropy(logits.double(), batch["labels"]))
    assert result.validation["loss"] == pytest.approx(loss, abs=1e-6)


class Scripted(SupervisedTrainable):
    """Answers validation as a script says: the share of right answers after each epoch, the surest ones first."""

    script: list[tuple[int, float]]

    def predict(self, batch: dict[str, Tensor]) -> SequenceClassifierOutput:
        right, margin = self.script.pop(0)
        logits = torch.zeros(len(batch["labels"]), 2)
        for row, label in enumerate(batch["labels"].tolist()):
            logits[row, label if row < right else 1 - label] = margin
        return SequenceClassifierOutput(logits=logits)

    def save(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "left").write_text(str(len(self.script)))


def scripted(folder: Path, name: str, script: list[tuple[int, float]], **settings: Any) -> tuple[TrainingResult, list]:
    learners = []

    def make(job: TrainingJob, device: torch.device) -> Scripted:
        trainable = Scripted(**vars(make_trainable(job, device)))
        trainable.script = copy.copy(script)
        learners.append(trainable)
        return trainable

    job = make_job(folder, name, epochs=len(script) - 1, **settings)
    return finish(dataclasses.replace(job, make_trainable=make)), learners[0].script


def test_the_best_epoch_is_kept_and_ties_go_to_the_lower_loss(folder: Path) -> None:
    result, _ = scripted(folder, "ties", [(10, 1.0), (30, 1.0), (30, 2.0), (20, 1.0), (30, 1.0)])
    assert result.validation["accuracy"] == 30 / 40
    assert curve(result, "validation_accuracy").values == [0.25, 0.75, 0.75, 0.5, 0.75]
    losses = curve(result, "validation_loss").values
    assert losses[1] < losses[2]
    assert (result.best / "left").read_text() == "3"
    assert result.validation["loss"] == losses[1]


def test_the_model_as_it_came_is_kept_where_training_only_harms_it(folder: Path) -> None:
    result, _ = scripted(folder, "harmed", [(30, 1.0), (20, 1.0), (10, 1.0)])
    assert (result.best / "left").read_text() == "2"


def test_a_model_that_is_still_being_changed_is_not_kept_and_tries_no_patience(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "settled", lambda _self, step, total: step >= 0.6 * total, raising=False)
    script = [(40, 1.0), (30, 1.0), (20, 1.0), (10, 1.0), (10, 2.0), (10, 3.0)]
    result, left = scripted(folder, "unsettled", script, patience=1)
    assert result.validation["accuracy"] == 10 / 40
    assert (result.best / "left").read_text() == "2"  # after the third of five epochs
    assert len(left) == 1  # the fourth was one too many
    notes = [event.note for event in read_events(folder / "unsettled" / "events.jsonl")]
    assert sum("not kept: it is still being changed" in note for note in notes) == 3


def test_training_stops_after_patience_epochs_without_a_better_one(folder: Path) -> None:
    script = [(10, 1.0), (20, 1.0), (20, 0.5), (15, 1.0), (40, 1.0), (40, 1.0)]
    result, left = scripted(folder, "patient", script, patience=2)
    assert curve(result, "validation_accuracy").values == [0.25, 0.5, 0.5, 0.375]
    assert len(left) == 2


def test_patience_0_never_stops_early(folder: Path) -> None:
    result, left = scripted(folder, "endless", [(30, 1.0)] + [(10, 1.0)] * 4)
    assert left == []
    assert len(curve(result, "validation_accuracy").steps) == 5


def broken(value: float, at: int):  # type: ignore[no-untyped-def]
    def make(job: TrainingJob, device: torch.device) -> SupervisedTrainable:
        trainable = make_trainable(job, device)
        forward, steps = trainable.module.forward, []

        def spoilt(batch: dict[str, Tensor]) -> dict[str, Tensor]:
            steps.append(1)
            loss = forward(batch)["loss"]
            return {"loss": loss * value if len(steps) == at else loss}

        trainable.module.forward = spoilt  # type: ignore[method-assign]
        return trainable

    return make


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_an_error_with_its_step_and_a_way_out(folder: Path, value: float) -> None:
    job = dataclasses.replace(make_job(folder, f"loss-{value}"), make_trainable=broken(value, at=4))
    message = (
        rf"the loss is {value} at step 4 of 15: lower learning_rate \(now 0\.002\).*precision to fp32 \(now fp32\)"
    )
    with pytest.raises(TrainingError, match=message):
        loop.run(job)
    assert loop.read_result(job) is None


@pytest.mark.parametrize(
    ("epochs", "told"), [(0, "the weights it starts from are not finite"), (1, "lower learning_r")]
)
def test_weights_that_are_not_finite_are_an_error_where_they_are_validated(
    folder: Path, epochs: int, told: str
) -> None:
    """The last step of an epoch may spoil them after its loss was finite."""

    def make(job: TrainingJob, device: torch.device) -> SupervisedTrainable:
        trainable = Spoilt(**vars(make_trainable(job, device)))
        trainable.left = epochs
        return trainable

    class Spoilt(SupervisedTrainable):
        left: int

        def predict(self, batch: dict[str, Tensor]) -> SequenceClassifierOutput:
            self.left -= 1
            output = super().predict(batch)
            output.logits = output.logits * (float("nan") if self.left < 0 else 1)
            return output

    job = dataclasses.replace(make_job(folder, f"spoilt-{epochs}", epochs=1), make_trainable=make)
    with pytest.raises(TrainingError, match=rf"the validation loss is nan after epoch {epochs} of 1: {told}"):
        loop.run(job)
    assert not epochs or loop.read_result(job) is None


def test_one_answer_to_every_row_is_told(folder: Path) -> None:
    class Stubborn(SupervisedTrainable):
        def predict(self, batch: dict[str, Tensor]) -> SequenceClassifierOutput:
            return SequenceClassifierOutput(logits=torch.tensor([[0.0, 1.0]]).repeat(len(batch["labels"]), 1))

    job = make_job(folder, "stubborn", epochs=0)
    stubborn = dataclasses.replace(
        job, make_trainable=lambda job, device: Stubborn(**vars(make_trainable(job, device)))
    )
    [warning] = warnings_of("the teacher", "text-classification", finish(stubborn).sums, ["negative", "positive"])
    assert warning == "the teacher predicts 'positive' for all 40 validation rows"
    varied, _ = scripted(folder, "varied", [(30, 1.0)])
    assert warnings_of("the teacher", "text-classification", varied.sums, ["negative", "positive"]) == []


def test_data_without_rows_is_an_error(folder: Path) -> None:
    def make(job: TrainingJob, device: torch.device) -> SupervisedTrainable:
        trainable = make_trainable(job, device)
        empty = dataclasses.replace(trainable.train, offsets=np.zeros(1, np.int64), labels=np.zeros(0, np.int64))
        return dataclasses.replace(trainable, train=empty)

    with pytest.raises(TrainingError, match=r"0 training rows and 40 validation rows: needs 1 of each"):
        loop.run(dataclasses.replace(make_job(folder, "empty"), make_trainable=make))
