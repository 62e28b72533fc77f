"""A measure of quality as a function of sums over rows: all that evaluation, gate and report know of a task."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Statistics = npt.NDArray[Any]
"""[rows, k]: of each row the numbers whose sums a metric needs. Whole numbers where they count something, as rows of
one kind are then drawn together."""
Sums = npt.NDArray[np.float64]
"""[draws, k]: statistics added up over the rows of each draw."""
Values = npt.NDArray[np.float64]
"""[draws]."""


@dataclass(frozen=True)
class Metric:
    """One measure of quality: how it is computed, which way is better, and how two models are held against each other
    in it."""

    name: str
    """As recipes, checks and report.json call it."""
    title: str
    """As people call it."""
    value: Callable[[Sums], Values]
    """Of sums [draws, k]; it also has to bear the sums of a single row."""
    better: Literal["higher", "lower"] = "higher"
    unit: str = "share"
    """share: 0..1, shown in percent. Anything else stands behind the number; empty is a plain number."""
    relative: bool = False
    """Margins are parts of the reference's value (a ratio), as they have to be where the value is no share."""
    share_of_rows: bool = False
    """The value is the share of rows that are right: a difference of two models is then that of rows won and lost, for
    which there is an exact test."""
    disagreement: str = "better on {won:,} rows, worse on {lost:,} of {rows:,}"
    """What is said of the rows on which two models differ."""

    def of(self, statistics: Statistics) -> float:
        """The value over all rows of statistics [rows, k]."""
        return float(self.value(statistics.sum(axis=0, dtype=np.float64)[None])[0])

    def gain(self, candidate: Sums, reference: Sums) -> Values:
        """How much better the candidate is [draws], negative where it is worse: in the metric's own unit, or as a part
        of the reference's value where margins are relative. Of a reference of 0 there is no part: any difference is
        then all of it, 1 or -1."""
        other = self.value(reference)
        apart = self.value(candidate) - other if self.better == "higher" else other - self.value(candidate)
        if not self.relative:
            return apart
        return np.divide(apart, np.abs(other), out=np.sign(apart), where=other != 0)

    @property
    def margin_unit(self) -> str:
        """Unit of a difference and its margin: points (of a share), relative (part of the reference's value), or the
        metric's own."""
        return "relative" if self.relative else "points" if self.unit == "share" else self.unit

    def shown(self, value: float) -> str:
        """The value as people read it: `84.12%`, `0.531`."""
        return f"{100 * value:.2f}%" if self.unit == "share" else f"{value:.4g} {self.unit}".rstrip()


def share(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The part of a whole, element by element; 0 where there is none."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)
