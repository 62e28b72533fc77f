"""A toy task with an answer for each token goes through training, teacher and student by the seam alone."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForTokenClassification, BertForTokenClassification

from hone.configs.model import DistillSettings
from hone.tasks.model.checkpoints.checkpoint import load_model
from hone.tasks.model.teacher.outputs import TeacherOutputs, prepare
from hone.tasks.model.text import NO_TARGET, TokenizedText, bucketed_batches, make_batch, model_inputs, tokenize
from hone.tasks.model.training import loop
from hone.tasks.model.training.distillation import distillation_arguments
from hone.tasks.model.training.distillation import make_trainable as make_student
from hone.tasks.model.training.trainable import TrainingJob, validation_fields
from hone.tasks.objectives.divergence import softened_divergence
from hone.tasks.objectives.learning import LEARNING, learning_of
from hone.tasks.train.supervised import make_trainable
from tests.model.teaching_fixtures import artifact
from tests.model.training_fixtures import curve, finish, make_job
from tests.tiny import BAD, GOOD

TELLING = [*GOOD, *BAD]
LOSS = DistillSettings(epochs=1, hidden_weight=0.5, relation_weight=0.0, augment=0, learning_rate=1e-3)


class Telling:
    """Which tokens tell the sentence's label."""

    name: Any = "toy"
    primary = "token_accuracy"
    by_token = True
    by_word = False
    rows_at_once = 64
    auto_model = AutoModelForTokenClassification
    problem_type = None
    outputs = ("logits",)

    def config_labels(self, labels: list[str]) -> dict[str, Any]:
        return {"num_labels": 2}

    def begin(self, model: Any, train: TokenizedText) -> None:
        """Nothing."""

    def encode(self, tokenizer: Any, rows: Any, max_length: int) -> TokenizedText:
        text = tokenize(tokenizer, rows, max_length)
        labels = np.isin(text.ids, tokenizer.convert_tokens_to_ids(TELLING)).astype(np.int64)
        labels[np.isin(text.ids, tokenizer.all_special_ids)] = NO_TARGET
        weights = np.add.reduceat((labels != NO_TARGET).astype(np.int64), text.offsets[:-1])
        return replace(text, labels=labels, by_token=True, weights=weights)

    def loss(self, output: Any, batch: Any) -> torch.Tensor:
        return F.cross_entropy(output.logits.transpose(1, 2), batch["labels"], reduction="none").sum(dim=1)

    def labelled(self, batch: Any) -> torch.Tensor:
        return (batch["labels"] >= 0).any(dim=1)

    def targets(self, output: Any, batch: Any) -> torch.Tensor:
        return output.logits.float()

    def distillation_loss(self, output: Any, targets: Any, batch: Any, temperature: float) -> torch.Tensor:
        by_token = softened_divergence(output.logits, targets, temperature)
        return (by_token * (batch["labels"] != NO_TARGET)).sum(dim=1)

    def validation(self, output: Any, batch: Any) -> torch.Tensor:
        counted = batch["labels"] != NO_TARGET
        right = (output.logits.argmax(dim=2) == batch["labels"])[counted].sum()
        return torch.stack([self.loss(output, batch).sum(), right, counted.sum()]).double()

    def validation_metrics(self, sums: Sequence[float]) -> dict[str, float]:
        return {"token_accuracy": sums[1] / sums[2], "loss": sums[0] / sums[2]}

    def config_chosen(self, sums: Sequence[float]) -> dict[str, Any]:
        return {}

    def row_scores(self, output: Any, batch: Any) -> torch.Tensor:
        return -self.loss(output, batch).double()

    def degenerate(self, sums: Sequence[float], labels: list[str]) -> str:
        return ""

    def config_measured(self, finished: Any, validation: Any, max_length: int) -> dict[str, Any]:
        return {}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingJob]:
    torch.set_num_threads(1)
    LEARNING["toy"] = Telling()  # type: ignore[index]
    made = make_job(tmp_path_factory.mktemp("by-token"), dropout=0.0, rows=64, epochs=4, learning_rate=1e-2)
    yield replace(made, task="toy")  # type: ignore[arg-type]
    del LEARNING["toy"]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def teacher(job: TrainingJob) -> Path:
    return finish(job).best


def test_the_first_loss_is_the_mean_over_the_steps_tokens_however_it_is_shared_out(job: TrainingJob) -> None:
    trainable = make_trainable(job, torch.device("cpu"))

    rows = bucketed_batches(trainable.train.lengths, 32, job.seed, 1)[0]
    batch = make_batch(trainable.train, rows, 0, "cpu")
    logits = trainable.module.model(**model_inputs(batch)).logits
    expected = F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten()).item()
    parts = replace(
        job,
        workdir=job.workdir.with_name("parts"),
        settings=job.settings.model_copy(update={"accumulate": 4, "epochs": 1}),
    )
    assert curve(finish(parts), "train_loss").values[0] == pytest.approx(expected, abs=1e-5)


def test_the_epoch_is_chosen_by_the_tasks_own_metric(job: TrainingJob, teacher: Path) -> None:
    result = loop.read_result(job)
    assert result is not None
    scores = curve(result, "validation_token_accuracy").values
    assert max(scores) == result.validation["token_accuracy"] > 0.95  # measured: 1.0
    assert "validation_accuracy" not in {one.name for one in result.curves}
    assert validation_fields(job.task, result.validation) == {
        "validation_accuracy": None,
        "validation_loss": result.validation["loss"],
        "validation_metrics": {"token_accuracy": result.validation["token_accuracy"]},
        "selected_by": "token_accuracy",
    }


def test_a_saved_model_is_loaded_with_the_head_and_told_by_the_task_that_its_config_names(
    job: TrainingJob, teacher: Path
) -> None:
    model = load_model(teacher)
    assert isinstance(model, BertForTokenClassification)
    assert learning_of(model.config).name == "toy"  # though token-classification has its head


def test_a_student_learns_from_what_the_teacher_says_of_each_token(job: TrainingJob, teacher: Path) -> None:
    data, scratch = job.arguments["data"], job.workdir.parent
    outputs = prepare(
        scratch / "storage", teacher=artifact(teacher), data=artifact(data), loss=LOSS, layers=[0, 1], max_length=32,
        seed=0, owner="demo", on_progress=lambda done, total, note: None, task=job.task,
    )  # fmt: skip
    arguments = distillation_arguments(
        student=teacher, data=data, teacher_outputs=outputs, loss=LOSS, max_length=32, student_layers=[0, 1]
    )
    taught = TrainingJob(make_student, LOSS, 0, scratch / "taught", arguments, task=job.task)
    trainable = make_student(taught, torch.device("cpu"))
    batch = make_batch(trainable.train, np.array([3, 40, 11]), 0, "cpu")
    kept = TeacherOutputs(outputs).targets(batch["rows"], batch["input_ids"].shape[1])
    said = trainable.predict(batch).logits * batch["attention_mask"][:, :, None]
    assert torch.allclose(kept, said, atol=1e-5)
    losses = trainable.module(batch)  # its own teacher: nothing to learn from it
    assert losses["soft_loss"].item() == pytest.approx(0, abs=1e-4)
    trainable.close()
    assert finish(taught).validation["token_accuracy"] > 0.95
