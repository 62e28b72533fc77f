"""The trainable of the teacher: an encoder with its task's head, and the loss with the labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hone.configs.model import ModelSettings, TrainSettings
from hone.tasks.model.checkpoints.checkpoint import load_pretrained, save_model
from hone.tasks.model.text import Batch, Output, TokenizedText, model_inputs
from hone.tasks.model.tokenized import Split
from hone.tasks.model.training.trainable import TrainingJob
from hone.tasks.objectives.learning import Learning, learning
from hone.tasks.train.adapter import add_adapters, merged


class Supervised(nn.Module):
    """A model and its loss with the labels."""

    def __init__(self, model: PreTrainedModel, objective: Learning) -> None:
        super().__init__()
        self.model = model
        self._objective = objective

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """`loss`, summed over the batch's rows."""
        return {"loss": self._objective.loss(self.model(**model_inputs(batch)), batch).sum()}


@dataclass
class SupervisedTrainable:
    """A model that learns the labels, or text (see `trainable.Trainable`)."""

    module: Supervised
    tokenizer: PreTrainedTokenizerFast
    train: TokenizedText
    validation: TokenizedText

    def epoch_rows(self, epoch: int) -> npt.NDArray[np.int64]:
        """All of them, every time."""
        return np.arange(len(self.train))

    def predict(self, batch: Batch) -> Output:
        """What the model answers, fp32 in evaluation mode, without gradients."""
        self.module.eval()
        with torch.no_grad():
            output: Output = self.module.model(**model_inputs(batch))
        return output

    def before_step(self, step: int, total: int) -> None:
        """Nothing to change."""

    def after_step(self) -> None:
        """Nothing to hold."""

    def settled(self, step: int, total: int) -> bool:
        """From the start."""
        return True

    def save(self, folder: Path) -> None:
        """The model with its head, its config with the label names, and the tokenizer."""
        save_model(merged(self.module.model), self.tokenizer, folder)

    def close(self) -> None:
        """Nothing is open."""


def classification_arguments(
    model: ModelSettings,
    labels: list[str],
    data: Path,
    encoder: Path | None = None,
    train_text: Path | None = None,
    validation_text: Path | None = None,
) -> dict[str, Any]:
    """What `make_trainable` needs, as `TrainingJob.arguments`.

    Args:
        labels: label names by id.
        data: folder of the prepared data.
        encoder: folder that holds what `model.source` names; None where each worker finds that by its name.
        train_text: folder with the training split as the encoder's tokenizer reads it (`TokenizedSplits.folder`); None:
            each worker tokenizes it itself.
        validation_text: the same of the validation split.
    """
    return {
        "model": model,
        "labels": labels,
        "data": data,
        "encoder": encoder,
        "train_text": train_text,
        "validation_text": validation_text,
    }


def make_trainable(job: TrainingJob, device: torch.device) -> SupervisedTrainable:
    """The trainable for a job whose arguments are `classification_arguments`.

    Raises:
        ModelError: when the encoder cannot be loaded or does not fit the task.
        UnsafeFileError: when it would take a pickle or code of the model's own.
    """
    settings: ModelSettings = job.arguments["model"]
    if job.arguments["encoder"] is not None:
        settings = settings.model_copy(update={"source": str(job.arguments["encoder"])})
    objective = learning(job.task)
    model, tokenizer = load_pretrained(settings, job.arguments["labels"], job.seed, job.task)
    train, validation = (
        Split(job.arguments["data"] / f"{split}.parquet", tokenizer, settings.max_length, job.task)
        .open(job.arguments[f"{split}_text"])
        .text
        for split in ("train", "validation")
    )
    objective.begin(model, train)
    if isinstance(job.settings, TrainSettings) and job.settings.adapter == "lora":
        model = add_adapters(model, job.settings)
    return SupervisedTrainable(Supervised(model, objective).to(device), tokenizer, train, validation)
