"""Names of answers: in a model's config, as plain transformers reads them, and those of two models held together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hone.tasks.label_value import one_spelling

UNHEARD = -60.0
"""Logit of a label that a model has never heard of."""


def named(labels: list[str]) -> dict[str, Any]:
    """The config's fields.

    Args:
        labels: names of the labels, or of the tags, by id.
    """
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {name: index for index, name in enumerate(labels)},
    }


def by_name(logits: npt.NDArray[np.float32], own: Sequence[str], labels: Sequence[str]) -> npt.NDArray[np.float32]:
    """A model's logits [items, its own labels] in other labels [items, labels], matched by their names: one that is new
    to the model is never its answer, and one that is not asked for is left out.

    Args:
        own, labels: names by id.
    """
    column = {one_spelling(name): label for label, name in enumerate(own)}
    result = np.full((len(logits), len(labels)), UNHEARD, dtype=np.float32)
    for label, name in enumerate(labels):
        if one_spelling(name) in column:
            result[:, label] = logits[:, column[one_spelling(name)]]
    return result
