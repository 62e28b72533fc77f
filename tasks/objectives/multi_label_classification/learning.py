"""How several labels of a text are learned: each as a yes or no of its own, and the teacher's softened ones."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from hone.configs.recipe import Objective
from hone.tasks.model.text import Batch, Finished, Output, Rows, TokenizedText, tokenize
from hone.tasks.objectives.labels import named
from hone.tasks.objectives.multi_label_classification.threshold import FIELD, GRID, LOGITS, best, micro_f1


class MultiLabelClassification:
    """A flag for each label of each row (see `objectives.learning.Learning`). `output.logits` is [rows, labels].

    A row's losses are sums over its labels, as that of one label is a sum over them: beside what else a student learns,
    a label then weighs the same however many there are.
    """

    name: Objective = "multi-label-classification"
    primary: str = "micro_f1"
    by_token: bool = False
    by_word: bool = False
    rows_at_once: int = 64
    auto_model: Any = AutoModelForSequenceClassification
    problem_type: str | None = "multi_label_classification"
    outputs: tuple[str, ...] = ("logits",)

    def config_labels(self, labels: list[str]) -> dict[str, Any]:
        return named(labels) | {"problem_type": self.problem_type}

    def begin(self, model: PreTrainedModel, train: TokenizedText) -> None:
        """Nothing."""

    def encode(self, tokenizer: PreTrainedTokenizerBase, rows: Rows, max_length: int) -> TokenizedText:
        return tokenize(tokenizer, rows, max_length)

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """`-log p` of what each label is, there or not, summed over the labels [rows]."""
        flags = batch["labels"].clamp(min=0).float()
        by_label = F.binary_cross_entropy_with_logits(output.logits.float(), flags, reduction="none")
        return by_label.sum(dim=1) * self.labelled(batch)

    def labelled(self, batch: Batch) -> Tensor:
        return (batch["labels"] >= 0).all(dim=1)

    def targets(self, output: Output, batch: Batch) -> Tensor:
        """The logits [rows, labels]."""
        logits: Tensor = output.logits
        return logits.float()

    def distillation_loss(self, output: Output, targets: Tensor, batch: Batch, temperature: float) -> Tensor:
        """T^2 * KL of the softened yes or no of each label, summed over the labels [rows].

        Source: Yang et al. 2023, Multi-Label Knowledge Distillation, arXiv:2308.06453.
        """
        student, teacher = output.logits, targets
        precision = torch.float64 if student.dtype == torch.float64 else torch.float32
        student, teacher = student.to(precision) / temperature, teacher.to(precision) / temperature
        probability = torch.sigmoid(teacher)
        yes = probability * (F.logsigmoid(teacher) - F.logsigmoid(student))
        no = (1 - probability) * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
        return temperature**2 * (yes + no).sum(dim=1)

    def validation(self, output: Output, batch: Batch) -> Tensor:
        """Loss, rows, how often each label is true, and by threshold of the grid how often each is given, and rightly
        so: [2 + labels + 2 * thresholds * labels]."""
        logits, flags = output.logits.double(), batch["labels"] > 0
        loss = F.binary_cross_entropy_with_logits(logits, flags.double(), reduction="sum")
        given = logits[None] > torch.from_numpy(LOGITS).to(logits.device)[:, None, None]
        counts = [flags.sum(dim=0), given.sum(dim=1).flatten(), (given & flags).sum(dim=1).flatten()]
        return torch.cat([loss.reshape(1), loss.new_tensor([len(flags)]), *counts]).double()

    def validation_metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """At the threshold that is best for `micro_f1`. `loss` is a mean over rows and labels."""
        true, predicted, correct = _counts(sums)
        index = best(true.sum(), predicted.sum(axis=1), correct.sum(axis=1))
        score = micro_f1(true.sum(), predicted.sum(axis=1), correct.sum(axis=1))[index]
        return {"micro_f1": float(score), FIELD: float(GRID[index]), "loss": sums[0] / (sums[1] * len(true))}

    def config_chosen(self, sums: Sequence[float]) -> dict[str, Any]:
        """The threshold."""
        return {FIELD: self.validation_metrics(sums)[FIELD]}

    def config_measured(self, finished: Finished, validation: Callable[[], Rows], max_length: int) -> dict[str, Any]:
        """Nothing."""
        return {}

    def row_scores(self, output: Output, batch: Batch) -> Tensor:
        """Minus the row's loss: which labels are given depends on a threshold, which a model that is just being changed
        has not."""
        flags = batch["labels"].clamp(min=0).double()
        return -F.binary_cross_entropy_with_logits(output.logits.double(), flags, reduction="none").sum(dim=1)

    def degenerate(self, sums: Sequence[float], labels: list[str]) -> str:
        """Said of more than one row that all get the same labels, or none."""
        true, predicted, correct = _counts(sums)
        rows = int(sums[1])
        given = predicted[best(true.sum(), predicted.sum(axis=1), correct.sum(axis=1))]
        if rows < 2 or not np.isin(given, (0, rows)).all():
            return ""
        always = [f"'{name}'" for name, count in zip(labels, given, strict=True) if count]
        return f"gives {', '.join(always) or 'no label'} to all {rows:,} validation rows"


def _counts(sums: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often each label is true [labels], and by threshold how often it is given, and rightly so [thresholds,
    labels]."""
    counts = np.array(sums[2:], np.float64)
    labels = len(counts) // (1 + 2 * len(GRID))
    predicted, correct = counts[labels:].reshape(2, len(GRID), labels)
    return counts[:labels], predicted, correct
