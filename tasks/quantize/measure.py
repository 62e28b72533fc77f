"""What a model answers on a split, rounded or not."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from tasks.model.text import Batch, TokenizedText, make_batch, model_inputs, sequential_batches

BATCH_SIZE = 64


@dataclass(frozen=True)
class Answers:
    """Logits on the CPU in the order of the batches, and the labels that belong to them."""

    logits: Tensor
    """[rows, labels] fp32."""
    labels: Tensor
    """[rows] int64."""

    @property
    def accuracy(self) -> float:
        """Share of the rows whose largest logit is their label's."""
        return float(self.right.double().mean())

    @property
    def right(self) -> Tensor:
        """Whether each row's largest logit is its label's, [rows] bool."""
        return self.logits.argmax(dim=1) == self.labels

    @property
    def only_label(self) -> int:
        """The label that every row is given; -1 where they are given several."""
        found = self.logits.argmax(dim=1).unique().tolist()
        return int(found[0]) if len(found) == 1 else -1

    @property
    def loss(self) -> float:
        """Mean cross-entropy."""
        return float(torch.nn.functional.cross_entropy(self.logits.double(), self.labels))


def answer(
    model: PreTrainedModel, text: TokenizedText, pad_id: int, rows: npt.NDArray[np.int64] | None = None
) -> Answers:
    """What a model in evaluation mode says of these rows, or of all, in fp32."""
    logits, labels = [], []
    with torch.no_grad():
        for batch in batches(model, text, np.arange(len(text)) if rows is None else rows, pad_id):
            logits.append(model(**model_inputs(batch)).logits.float().cpu())
            labels.append(batch["labels"].cpu())
    return Answers(torch.cat(logits), torch.cat(labels))


def batches(model: PreTrainedModel, text: TokenizedText, rows: npt.NDArray[np.int64], pad_id: int) -> Iterator[Batch]:
    """These rows in batches by length, as the training loop validates, on the model's device."""
    for places in sequential_batches(text.lengths[rows], BATCH_SIZE):
        yield make_batch(text, rows[places], pad_id, model.device)


def drawn(rows: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    """At most that many places of a split, drawn with the seed, in rising order: files are sorted, or alternate."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])
