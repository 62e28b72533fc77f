"""What documents are judged against, as numbers: how long each is and, once that is known, the teacher's choices.

int64 [documents, items of each]: the UTF-8 bytes and, with a reference, its first choice for each of its own tokens.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.ragged import Ragged
from hone.tasks.objectives.text_generation.generating import CHOICE

Ints = npt.NDArray[np.int64]


def pack(texts: Sequence[str]) -> Ragged:
    """Of documents without a reference."""
    return Ragged.of([np.array([len(text.encode())], np.int64) for text in texts], np.zeros(0, np.int64))


def with_choices(targets: Ragged, reference: Ragged) -> Ragged:
    """The same with the first choices of the model that others are compared with; -1 where it gave no number.

    Args:
        reference: its answers, as `generating` has them.
    """
    rows = [
        np.concatenate([row[:1], np.nan_to_num(answers[:, CHOICE], nan=-1.0).astype(np.int64)])
        for row, answers in zip(targets, reference, strict=True)
    ]
    return Ragged.of(rows, np.zeros(0, np.int64))


def sizes_of(targets: Ragged) -> Ints:
    """UTF-8 bytes of each document [documents]."""
    return np.asarray(targets.values[targets.offsets[:-1]])


def choices_of(targets: Ragged) -> Ragged | None:
    """The reference's first choices, by document; None where there is no reference."""
    if (targets.lengths <= 1).all():
        return None
    kept = np.ones(len(targets.values), np.bool_)
    kept[targets.offsets[:-1]] = False
    offsets = targets.offsets - np.arange(len(targets.offsets))
    return Ragged(targets.values[kept], offsets)
