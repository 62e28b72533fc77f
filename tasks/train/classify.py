"""The learner of the teacher: an encoder with a classification head, and cross-entropy with the labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from configs.model import ModelSettings
from tasks.model.checkpoint import load_pretrained, save_model
from tasks.model.learner import TrainingJob
from tasks.model.text import Batch, TokenizedText, model_inputs, read_split, tokenize


class Classification(nn.Module):
    """A classifier and its loss."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """`loss`: cross-entropy, summed over the batch's rows."""
        logits = self.model(**model_inputs(batch)).logits
        return {"loss": nn.functional.cross_entropy(logits.float(), batch["labels"], reduction="sum")}


@dataclass
class ClassificationLearner:
    """An encoder that learns the labels (see `learner.Learner`)."""

    module: Classification
    tokenizer: PreTrainedTokenizerFast
    train: TokenizedText
    validation: TokenizedText

    def rows_of(self, epoch: int) -> npt.NDArray[np.int64]:
        """All of them, every time."""
        return np.arange(len(self.train))

    def predict(self, batch: Batch) -> Tensor:
        """Logits [batch, labels] fp32 in evaluation mode, without gradients."""
        self.module.eval()
        with torch.no_grad():
            logits: Tensor = self.module.model(**model_inputs(batch)).logits
        return logits.float()

    def before_step(self, step: int, total: int) -> None:
        """Nothing to change."""

    def after_step(self) -> None:
        """Nothing to hold."""

    def settled(self, step: int, total: int) -> bool:
        """From the start."""
        return True

    def save(self, folder: Path) -> None:
        """The model with its head, its config with the label names, and the tokenizer."""
        save_model(self.module.model, self.tokenizer, folder)

    def close(self) -> None:
        """Nothing is open."""


def classification_arguments(
    model: ModelSettings, labels: list[str], data: Path, encoder: Path | None = None
) -> dict[str, Any]:
    """What `make_learner` needs, as `TrainingJob.arguments`.

    Args:
        labels: label names by id.
        data: folder of the prepared data.
        encoder: folder that holds what `model.source` names; None where each worker finds that by its name.
    """
    return {"model": model, "labels": labels, "data": data, "encoder": encoder}


def make_learner(job: TrainingJob, device: torch.device) -> ClassificationLearner:
    """The learner for a job whose arguments are `classification_arguments`.

    Raises:
        ModelError: when the encoder cannot be loaded or does not fit the task.
        UnsafeFileError: when it would take a pickle or code of the model's own.
    """
    settings: ModelSettings = job.arguments["model"]
    if job.arguments["encoder"] is not None:
        settings = settings.model_copy(update={"source": str(job.arguments["encoder"])})
    model, tokenizer = load_pretrained(settings, job.arguments["labels"], job.seed)
    train, validation = (
        tokenize(tokenizer, read_split(job.arguments["data"], split), settings.max_length)
        for split in ("train", "validation")
    )
    return ClassificationLearner(Classification(model).to(device), tokenizer, train, validation)
