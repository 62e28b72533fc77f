"""The seam between the one training loop and whatever is being trained.

The loop (`loop.py`) knows batches, optimiser, workers and checkpoints; a trainable knows its model, its loss and how
it is saved. A stage hands the cluster a `TrainingJob`, whose `make_trainable` is called in every worker.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hone.configs.recipe import Objective
from hone.configs.section import TrainingSection
from hone.tasks.contracts import Curve
from hone.tasks.model.text import Batch, Output, TokenizedText
from hone.tasks.objectives.learning import learning

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Trainable(Protocol):
    """What is trained. `module(batch)` returns its losses, so that DistributedDataParallel sees one forward pass."""

    @property
    def module(self) -> nn.Module:
        """`forward(batch: Batch) -> dict[str, Tensor]`: scalar SUMS over the batch's rows by name; the loop optimises
        `loss` divided by what the rows of the whole step weigh, over all workers and micro-batches."""
        ...

    @property
    def tokenizer(self) -> "PreTrainedTokenizerFast":
        """Its padding token fills batches up."""
        ...

    @property
    def train(self) -> TokenizedText:
        """The training split."""
        ...

    @property
    def validation(self) -> TokenizedText:
        """The validation split."""
        ...

    def epoch_rows(self, epoch: int) -> npt.NDArray[np.int64]:
        """The training rows that one epoch, counted from 1, passes over; as many in each."""
        ...

    def predict(self, batch: Batch) -> Output:
        """What the model answers, fp32 in evaluation mode, without gradients."""
        ...

    def before_step(self, step: int, total: int) -> None:
        """Called before an optimiser step, counted from 0, of `total`: a mask may grow."""
        ...

    def after_step(self) -> None:
        """Called after every optimiser step, e.g. to hold a mask."""
        ...

    def settled(self, step: int, total: int) -> bool:
        """Whether the model after `step` of `total` steps may be kept as the best one; after the last it may."""
        ...

    def save(self, folder: Path) -> None:
        """Writes the model as the stage will hand it on: safetensors, config, tokenizer."""
        ...

    def close(self) -> None:
        """Closes what it has open; called once, when the job is done or has failed. Workers go on to other jobs."""
        ...


MakeTrainable = Callable[["TrainingJob", torch.device], Trainable]
"""Makes a job's trainable in each worker; a module-level function, as it travels there by its name."""


@dataclass(frozen=True)
class TrainingJob:
    """Everything a worker needs; sent to it whole."""

    make_trainable: MakeTrainable
    settings: TrainingSection
    seed: int
    workdir: Path
    """Durable folder of this job: a worker that starts again, also in a later run, resumes from what lies there."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """What `make_trainable` needs: plain values, and folders as paths."""
    identity: str = ""
    """What tells it from other jobs, where that was decided before its folders got other paths; see `job_digest`."""
    task: Objective = field(kw_only=True)
    """What the model does: loop and trainable ask `objectives.learning.learning` by this name."""


@dataclass(frozen=True)
class TrainingResult:
    """What came of a job."""

    best: Path
    """Folder the trainable saved where validation was best by the task's primary metric (ties: lower loss)."""
    validation: dict[str, float]
    """Metrics of the validation split there, by name, as `Learning.validation_metrics` has them."""
    curves: list[Curve]
    sums: list[float] = field(default_factory=list)
    """What these metrics are of, as `Learning.validation` sums it."""


def validation_fields(task: Objective, metrics: dict[str, float]) -> dict[str, Any]:
    """The metrics of the validation split as `Checkpoint` has them."""
    others = {name: value for name, value in metrics.items() if name not in ("accuracy", "loss")}
    return {
        "validation_accuracy": metrics.get("accuracy"),
        "validation_loss": metrics["loss"],
        "validation_metrics": others,
        "selected_by": learning(task).primary,
    }


def warnings_of(model: str, task: Objective, sums: list[float], labels: list[str]) -> list[str]:
    """What to say of a model that answers every row alike, as `Checkpoint.warnings`.

    Args:
        model: what it is called: "the teacher".
        sums: as `TrainingResult.sums`.
        labels: label names by id.
    """
    wrong = learning(task).degenerate(sums, labels)
    return [f"{model} {wrong}"] if wrong else []


@dataclass(frozen=True)
class TrainingEvent:
    """One message from rank 0 to the driver, while training runs."""

    step: int
    total_steps: int
    values: dict[str, float]
    """Metrics by name, e.g. train_loss, learning_rate, validation_accuracy."""
    note: str = ""
