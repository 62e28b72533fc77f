"""Entities of a sentence as statistics, whose sums give precision, recall and F1 as seqeval counts strictly."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.metric import share
from hone.tasks.objectives.token_classification.tags import entities

Floats = npt.NDArray[np.float64]


def entity_counts(
    true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], types: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Entities of each sentence [sentences, 3 * types]: true ones of each type, predicted ones, and correct ones.

    An entity is correct if one of the same type has the same first and last word.

    Args:
        true: tags of IOB2 of each sentence's words.
        predicted: likewise; a stray `I-` counts for nothing.

    Raises:
        ValueError: when a sentence has more tags on one side, or a type is not among `types`.
    """
    column = {kind: index for index, kind in enumerate(types)}
    counts = np.zeros((len(true), 3, len(types)), np.int64)
    for row, (tags, answers) in enumerate(zip(true, predicted, strict=True)):
        if len(tags) != len(answers):
            raise ValueError(f"sentence {row} has {len(tags)} words and {len(answers)} predicted tags")
        expected, found = set(entities(tags)), set(entities(answers))
        for side, group in enumerate((expected, found, expected & found)):
            for entity in group:
                if entity.type not in column:
                    raise ValueError(f"sentence {row} has an entity of type {entity.type!r}, not among {list(types)}")
                counts[row, side, column[entity.type]] += 1
    return counts.reshape(len(true), -1)


def precision(sums: npt.ArrayLike) -> Floats:
    """Share of the predicted entities that are correct, of all types together; 0 where none is predicted.

    Args:
        sums: of `entity_counts` over sentences [..., 3 * types], weighted or not.
    """
    _true, predicted, correct = _sides(sums)
    return share(correct.sum(-1), predicted.sum(-1))


def recall(sums: npt.ArrayLike) -> Floats:
    """Share of the true entities that are found, of all types together; 0 where there is none."""
    true, _predicted, correct = _sides(sums)
    return share(correct.sum(-1), true.sum(-1))


def micro_f1(sums: npt.ArrayLike) -> Floats:
    """Harmonic mean of precision and recall, of all types together; 0 where there are no entities on either side."""
    true, predicted, correct = _sides(sums)
    return share(2 * correct.sum(-1), true.sum(-1) + predicted.sum(-1))


def f1_by_type(sums: npt.ArrayLike) -> Floats:
    """F1 of each type [..., types]; 0 of a type without entities on either side."""
    true, predicted, correct = _sides(sums)
    return share(2 * correct, true + predicted)


def precision_by_type(sums: npt.ArrayLike) -> Floats:
    """Precision of each type [..., types]."""
    _true, predicted, correct = _sides(sums)
    return share(correct, predicted)


def recall_by_type(sums: npt.ArrayLike) -> Floats:
    """Recall of each type [..., types]."""
    true, _predicted, correct = _sides(sums)
    return share(correct, true)


def macro_f1(sums: npt.ArrayLike) -> Floats:
    """Mean of the types' F1, over those that have an entity on either side, as seqeval averages."""
    true, predicted, _correct = _sides(sums)
    there = (true + predicted) > 0
    return share(np.where(there, f1_by_type(sums), 0.0).sum(-1), there.sum(-1).astype(np.float64))


METRICS = {"f1": micro_f1, "precision": precision, "recall": recall, "macro_f1": macro_f1}
"""By name; the first one is what a model is chosen by."""


def _sides(sums: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    values = np.asarray(sums, np.float64)
    true, predicted, correct = np.moveaxis(values.reshape(*values.shape[:-1], 3, -1), -2, 0)
    return true, predicted, correct
