"""How a classifier of texts learns: cross-entropy with the labels, and the teacher's softened predictions."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from hone.configs.recipe import Objective
from hone.tasks.model.text import Batch, Finished, Output, Rows, TokenizedText, tokenize
from hone.tasks.objectives.divergence import softened_divergence
from hone.tasks.objectives.labels import named


class TextClassification:
    """One label for each row (see `objectives.learning.Learning`). `output.logits` is [rows, labels]."""

    name: Objective = "text-classification"
    primary: str = "accuracy"
    by_token: bool = False
    by_word: bool = False
    rows_at_once: int = 64
    auto_model: Any = AutoModelForSequenceClassification
    problem_type: str | None = None
    outputs: tuple[str, ...] = ("logits",)

    def config_labels(self, labels: list[str]) -> dict[str, Any]:
        return named(labels) | {"problem_type": self.problem_type}

    def begin(self, model: PreTrainedModel, train: TokenizedText) -> None:
        """Nothing."""

    def encode(self, tokenizer: PreTrainedTokenizerBase, rows: Rows, max_length: int) -> TokenizedText:
        return tokenize(tokenizer, rows, max_length)

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """`-log p(label)` [rows]."""
        return F.cross_entropy(output.logits.float(), batch["labels"], ignore_index=-1, reduction="none")

    def labelled(self, batch: Batch) -> Tensor:
        return batch["labels"] >= 0

    def targets(self, output: Output, batch: Batch) -> Tensor:
        """The logits [rows, labels]."""
        logits: Tensor = output.logits
        return logits.float()

    def distillation_loss(self, output: Output, targets: Tensor, batch: Batch, temperature: float) -> Tensor:
        return softened_divergence(output.logits, targets, temperature)

    def validation(self, output: Output, batch: Batch) -> Tensor:
        """Cross-entropy, right answers, rows, and how often each label is predicted: [3 + labels]."""
        logits, labels = output.logits.float().double(), batch["labels"]
        predicted = logits.argmax(dim=1)
        sums = torch.zeros(3 + logits.shape[1], dtype=torch.float64, device=logits.device)
        sums[0] = F.cross_entropy(logits, labels, reduction="sum")
        sums[1] = (predicted == labels).sum()
        sums[2] = len(labels)
        sums[3:] = F.one_hot(predicted, logits.shape[1]).sum(dim=0)
        return sums

    def validation_metrics(self, sums: Sequence[float]) -> dict[str, float]:
        loss, correct, count = sums[:3]
        return {"accuracy": correct / count, "loss": loss / count}

    def config_chosen(self, sums: Sequence[float]) -> dict[str, Any]:
        """Nothing."""
        return {}

    def config_measured(self, finished: Finished, validation: Callable[[], Rows], max_length: int) -> dict[str, Any]:
        """Nothing."""
        return {}

    def row_scores(self, output: Output, batch: Batch) -> Tensor:
        """1 where the largest logit is the label's, else 0."""
        right: Tensor = output.logits.argmax(dim=1) == batch["labels"]
        return right.double()

    def degenerate(self, sums: Sequence[float], labels: list[str]) -> str:
        """Said of more than one row that all get the same label."""
        count = int(sums[2])
        given = [index for index, times in enumerate(sums[3:]) if times]
        if len(given) != 1 or count < 2:
            return ""
        return f"predicts '{labels[given[0]]}' for all {count:,} validation rows"
