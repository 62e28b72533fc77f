"""What a model answers on a split, rounded or not, as its task measures it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from hone.tasks.model.text import Batch, Output, TokenizedText, make_batch, model_inputs, sequential_batches
from hone.tasks.objectives.learning import Learning


@dataclass(frozen=True)
class Answers:
    """A model's answers to some rows, reduced to what is compared, on the CPU."""

    sums: list[float]
    """Of `Learning.validation` over all rows."""
    metrics: dict[str, float]
    """What these say, by name."""
    score: float
    """The task's primary metric."""
    row_scores: Tensor
    """How right each row is [rows], in the order of the batches."""
    targets: list[Tensor]
    """The answers themselves, as a teacher's are kept, batch by batch."""
    divergence: float = 0.0
    """From the answers of a reference, in the unit of the task's loss (nats)."""


def answer(
    model: PreTrainedModel,
    objective: Learning,
    text: TokenizedText,
    pad_id: int,
    rows: npt.NDArray[np.int64] | None = None,
    reference: Answers | None = None,
) -> Answers:
    """What a model in evaluation mode says of these rows, or of all, in fp32.

    Args:
        reference: another model's answers to the same rows, from which `divergence` is measured.
    """
    chosen = np.arange(len(text)) if rows is None else rows
    sums, scores, targets, apart = [], [], [], 0.0
    with torch.no_grad():
        for index, batch in enumerate(batches(model, text, chosen, pad_id, objective.rows_at_once)):
            output = _in_fp64(model(**model_inputs(batch)))
            sums.append(objective.validation(output, batch).cpu())
            scores.append(objective.row_scores(output, batch).cpu())
            targets.append(objective.targets(output, batch).cpu())
            if reference is not None:
                theirs = reference.targets[index].to(model.device)
                apart += float(objective.distillation_loss(output, theirs, batch, 1.0).sum())
    total: list[float] = sum(sums[1:], sums[0]).tolist()
    metrics = objective.validation_metrics(total)
    divergence = apart / max(text.weight_of(chosen), 1)
    return Answers(total, metrics, metrics[objective.primary], torch.cat(scores), targets, divergence)


def batches(
    model: PreTrainedModel, text: TokenizedText, rows: npt.NDArray[np.int64], pad_id: int, size: int
) -> Iterator[Batch]:
    """These rows in batches of this size by length, as the training loop validates, on the model's device."""
    for indices in sequential_batches(text.lengths[rows], size):
        yield make_batch(text, rows[indices], pad_id, model.device)


def drawn(rows: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    """At most that many places of a split, drawn with the seed, in rising order: files are sorted, or alternate."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])


def _in_fp64(output: Output) -> Output:
    """What rounding one layer changes is often less than fp32 tells in a divergence."""
    for name, value in output.items():
        if isinstance(value, Tensor) and value.is_floating_point():
            output[name] = value.double()
    return output
