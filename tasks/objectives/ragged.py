"""Rows of several items each, such as sentences of words: the items of all rows in one array, and where each row ends.

It is indexed by rows as an array is, so that whoever compares, picks or counts rows need not know which of the two it
has.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Ragged:
    """Row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: npt.NDArray[Any]
    """[items, ...]."""
    offsets: npt.NDArray[np.int64]
    """[rows + 1]."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        """The items of each row."""
        return (self.values[start:end] for start, end in zip(self.offsets[:-1], self.offsets[1:], strict=True))

    def __getitem__(self, rows: Any) -> "Ragged":
        """These rows: places, a mask [rows] or a slice."""
        indices = np.arange(len(self))[rows]
        lengths = self.lengths[indices]
        offsets = _offsets(lengths)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        return type(self)(self.values[np.repeat(self.offsets[:-1][indices], lengths) + within], offsets)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Items of each row [rows]."""
        return np.diff(self.offsets)

    def largest(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Of numbers of the items [items], the largest of each row [rows]; 0 of a row without any."""
        result = np.zeros(len(self), values.dtype)
        some = self.lengths > 0
        if some.any():
            result[some] = np.maximum.reduceat(values, self.offsets[:-1][some])
        return result

    def means(self) -> npt.NDArray[np.float64]:
        """Of numbers of the items [items, ...], the mean of each row [rows, ...]; 0 of a row without any."""
        sums = np.zeros((len(self), *self.values.shape[1:]))
        np.add.at(sums, np.repeat(np.arange(len(self)), self.lengths), self.values)
        counts = np.maximum(self.lengths, 1).reshape(-1, *[1] * (self.values.ndim - 1))
        return np.asarray(sums / counts)

    @classmethod
    def of(cls, rows: Sequence[npt.NDArray[Any]], empty: npt.NDArray[Any]) -> "Ragged":
        """Out of the items of each row.

        Args:
            empty: an array of no items, for when there is no row.
        """
        return cls(np.concatenate([empty, *rows]), _offsets(np.array([len(row) for row in rows], np.int64)))


class ByToken(Ragged):
    """Rows of several items each, which every model cuts into items of its own."""


def numbers(answers: Any) -> npt.NDArray[Any]:
    """All that rows were answered, of an array or of rows of several items, as one array."""
    return np.asarray(answers.values if isinstance(answers, Ragged) else answers)


def row_means(answers: Any) -> npt.NDArray[np.float64]:
    """What rows were answered [rows, ...]; of rows of several items, the mean of each."""
    return answers.means() if isinstance(answers, Ragged) else np.asarray(answers, np.float64)


def alike(one: Any, other: Any) -> bool:
    """Whether both have the same shape, row by row."""
    if isinstance(one, Ragged) != isinstance(other, Ragged) or numbers(one).shape != numbers(other).shape:
        return False
    return not isinstance(one, Ragged) or np.array_equal(one.offsets, other.offsets)


def distances(one: Any, other: Any) -> npt.NDArray[np.float64] | None:
    """The largest difference of a number of each row [rows], infinite where one is no number; None where the two do not
    have the same shape."""
    if not alike(one, other):
        return None
    flat, flat_other = (numbers(side).reshape(len(numbers(side)), -1) for side in (one, other))
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(flat.astype(np.float64) - flat_other).max(axis=1, initial=0.0)
    apart = np.nan_to_num(apart, nan=np.inf, posinf=np.inf)
    return one.largest(apart) if isinstance(one, Ragged) else apart


def _offsets(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
