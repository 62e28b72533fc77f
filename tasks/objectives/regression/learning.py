"""How a number is learned: by the squared error from the true one, and from the teacher's."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from hone.configs.recipe import Objective
from hone.tasks.model.text import Batch, Finished, Output, Rows, TokenizedText, tokenize
from hone.tasks.objectives.labels import named

FLAT = 0.01
"""A model whose answers spread less than this share of the true numbers' spread answers every row alike."""


class Regression:
    """A number for each row (see `objectives.learning.Learning`). `output.logits` is [rows, 1]: the number itself, in
    the unit of the data."""

    name: Objective = "regression"
    primary: str = "r2"
    """The share of the numbers' variance that is explained: as the mean squared error goes down it goes up, so that the
    best epoch by the one is the best by the other."""
    by_token: bool = False
    by_word: bool = False
    rows_at_once: int = 64
    auto_model: Any = AutoModelForSequenceClassification
    problem_type: str | None = "regression"
    outputs: tuple[str, ...] = ("logits",)

    def config_labels(self, labels: list[str]) -> dict[str, Any]:
        return named(labels) | {"problem_type": self.problem_type}

    def begin(self, model: PreTrainedModel, train: TokenizedText) -> None:
        """A new head answers every row with the mean of the training split. AdamW moves a weight by about the learning
        rate in a step, so that from 0 it would not come to years, say, in any training."""
        heads = [part for part in model.modules() if isinstance(part, nn.Linear) and part.out_features == 1]
        bias = heads[-1].bias if heads else None
        if bias is not None and not bias.any():
            with torch.no_grad():
                bias.fill_(float(np.nanmean(train.labels)))

    def encode(self, tokenizer: PreTrainedTokenizerBase, rows: Rows, max_length: int) -> TokenizedText:
        return tokenize(tokenizer, rows, max_length)

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """Squared error [rows]."""
        labelled = self.labelled(batch)
        true = torch.where(labelled, batch["labels"], 0.0)
        return (output.logits[:, 0].float() - true).square() * labelled

    def labelled(self, batch: Batch) -> Tensor:
        return ~torch.isnan(batch["labels"])

    def targets(self, output: Output, batch: Batch) -> Tensor:
        """The numbers [rows, 1]."""
        numbers: Tensor = output.logits
        return numbers.float()

    def distillation_loss(self, output: Output, targets: Tensor, batch: Batch, temperature: float) -> Tensor:
        """Squared difference from the teacher's number [rows]; a number has nothing that a temperature could soften."""
        precision = torch.float64 if output.logits.dtype == torch.float64 else torch.float32
        return (output.logits[:, 0].to(precision) - targets[:, 0].to(precision)).square()

    def validation(self, output: Output, batch: Batch) -> Tensor:
        """Squared error, rows, and sums of the true numbers, of their squares, of the answers and of theirs: [6]."""
        found, true = output.logits[:, 0].double(), batch["labels"].double()
        rows = torch.ones_like(true)
        return torch.stack([(found - true).square(), rows, true, true.square(), found, found.square()]).sum(dim=1)

    def validation_metrics(self, sums: Sequence[float]) -> dict[str, float]:
        """`r2`, and the mean squared error as `loss`; 0 where all true numbers are the same."""
        error, rows = sums[:2]
        spread = sums[3] - sums[2] ** 2 / rows
        return {"r2": 1 - error / spread if spread > 0 else 0.0, "loss": error / rows}

    def config_chosen(self, sums: Sequence[float]) -> dict[str, Any]:
        """Nothing."""
        return {}

    def config_measured(self, finished: Finished, validation: Callable[[], Rows], max_length: int) -> dict[str, Any]:
        """Nothing."""
        return {}

    def row_scores(self, output: Output, batch: Batch) -> Tensor:
        """Minus the squared error."""
        return -(output.logits[:, 0].double() - batch["labels"].double()).square()

    def degenerate(self, sums: Sequence[float], labels: list[str]) -> str:
        """Said of more than one row that all get about the same number."""
        rows = sums[1]
        spreads = [max(0.0, squares / rows - (total / rows) ** 2) ** 0.5 for total, squares in (sums[2:4], sums[4:6])]
        if rows < 2 or spreads[1] > FLAT * spreads[0]:
            return ""
        return f"answers about {sums[4] / rows:.4g} to all {int(rows):,} validation rows"
