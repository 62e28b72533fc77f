"""How far one classifier is from another on the same rows, and how sure that is.

Both answer the same examples, so it is the examples on which they differ that tell them apart: far fewer rows settle
a question than if each had rows of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from tasks.gate.exact import exact_high, exact_low, exact_p

Counts = npt.NDArray[np.float64]
"""[draws, labels, labels]: rows are true labels, columns predicted ones."""
DRAWS_AT_ONCE = 4_000_000  # numbers in memory at once
POWER = 0.8
"""Chance with which the rows that are asked for settle the question."""
MOST_ROWS = 10_000_000
MOST_TESTED = 20_000
"""Beyond so many rows the exact test and the normal distribution agree."""
FEW = 10
"""Fewer disagreements than this tell a bootstrap too little."""
TAIL = 10
"""Fewer draws than this beyond a value tell too little of how rare it is."""


@dataclass(frozen=True)
class Difference:
    """A metric of the candidate less the reference's, and how sure it is: of accuracy by an exact test, of the other
    metrics by the bootstrap."""

    value: float
    draws: npt.NDArray[np.float64]
    """[resamples], sorted: the difference on each resample of the rows."""
    rows: int
    won: int
    """Rows that the candidate alone has right."""
    lost: int
    """Rows that the reference alone has right."""
    exact: bool
    """Whether the metric is accuracy, for which there is an exact test."""

    @property
    def spread(self) -> float:
        """Standard error of the value."""
        return float(self.draws.std())

    def low(self, level: float) -> float:
        """Lower one-sided confidence bound."""
        bound = exact_low(self.won, self.lost, self.rows, level)
        if self.exact:
            return bound
        return min(self._drawn(level, -1.0), bound) if self._few else self._drawn(level, -1.0)

    def high(self, level: float) -> float:
        """Upper one-sided confidence bound."""
        bound = exact_high(self.won, self.lost, self.rows, level)
        if self.exact:
            return bound
        return max(self._drawn(level, 1.0), bound) if self._few else self._drawn(level, 1.0)

    def p_not_inferior(self, margin: float) -> float:
        """Against the hypothesis that the candidate is worse by the margin or more: small says that it is not."""
        return self._p(exact_p(self.won, self.lost, self.rows, margin), -margin, np.less_equal, 1.0)

    def p_inferior(self, margin: float) -> float:
        """Against the hypothesis that it is worse by the margin at most: small says that it is worse by more."""
        return self._p(exact_p(self.lost, self.won, self.rows, -margin), -margin, np.greater_equal, -1.0)

    def smallest_margin(self, level: float) -> float:
        """The smallest margin that these rows would have shown to be kept; 0 where they show a lead."""
        return max(0.0, -self.low(level))

    def rows_needed(self, margin: float, level: float) -> int | None:
        """How many rows would settle it, with 80 % chance, should difference and disagreement stay as they are: the
        test then shows the margin, or that it is missed, in four of five samples of so many rows. None where no number
        would, as the difference is the margin itself, or where it would take more than anyone has.

        Source: Lachin 1981, equation 1: N = ((z of the level + z of the power) spread / distance)^2.
        """
        distance = self.value + margin
        spread = self.spread * np.sqrt(self.rows)
        if abs(distance) < 1e-9:
            return None
        needed = ((norm.isf(level) + norm.isf(1 - POWER)) * spread / distance) ** 2
        if needed > MOST_ROWS:
            return None
        return self._until_shown(max(int(np.ceil(needed)), self.rows + 1), margin, level)

    @property
    def _few(self) -> bool:
        """Too few disagreements for a bootstrap: of none at all it is certain."""
        return self.won + self.lost < FEW

    def _p(self, exact: float, at: float, beyond: Callable[..., Any], side: float) -> float:
        if self.exact:
            return exact
        count, drawn = int(beyond(self.draws, at).sum()), len(self.draws)
        tail = float(norm.sf(side * (self.value - at) / self.spread)) if self.spread else 0.0
        # In the tail there are too few draws to tell small chances apart; the normal distribution goes on from there.
        p = (1 + count) / (1 + drawn) if count >= TAIL else max(tail, count / (1 + drawn))
        return max(p, exact) if self._few or not self.spread else p

    def _drawn(self, level: float, side: float) -> float:
        """The percentile of the bootstrap; where that lies among its last draws, no less far than the normal's."""
        percentile = float(np.quantile(self.draws, level if side < 0 else 1 - level))
        if level * len(self.draws) >= TAIL:
            return percentile
        normal = self.value + side * float(norm.isf(level)) * self.spread
        return side * max(side * percentile, side * normal)

    def _until_shown(self, rows: int, margin: float, level: float) -> int | None:
        """So many rows or, where the exact test asks for more than the normal distribution, as many as it needs."""
        if not self.exact and not self._few:
            return rows
        while rows < MOST_TESTED:
            won, lost = (round(count * rows / self.rows) for count in (self.won, self.lost))
            p = exact_p(won, lost, rows, margin) if self.value > -margin else exact_p(lost, won, rows, -margin)
            if p <= level:
                break
            rows = int(np.ceil(1.05 * rows))
        return rows


def paired_difference(
    labels: npt.NDArray[np.int64],
    candidate: npt.NDArray[np.int64],
    reference: npt.NDArray[np.int64],
    metric: str,
    *,
    resamples: int,
    seed: int,
) -> Difference:
    """Paired bootstrap: rows are drawn with replacement, each with its label and both predictions.

    What a draw gives depends only on how often each combination of label and predictions occurs in it, so those counts
    are drawn from their multinomial distribution, which is the same and takes far less.

    Args:
        labels, candidate, reference: [rows] label ids.
        metric: a key of `METRICS`.

    Source: Efron and Tibshirani 1993, chapter 13.
    """
    if not len(labels):
        raise ValueError("no rows to compare on")
    measure = METRICS[metric]
    size = 1 + int(max(labels.max(), candidate.max(), reference.max()))
    kinds, counts = np.unique(np.stack([labels, candidate, reference]), axis=1, return_counts=True)

    def difference(drawn: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """[draws] of counts [draws, kinds]."""
        confusions = []
        for predicted in (kinds[1], kinds[2]):
            cells = np.zeros((len(drawn), size * size))
            np.add.at(cells.T, kinds[0] * size + predicted, drawn.T)
            confusions.append(cells.reshape(-1, size, size))
        return measure(confusions[0]) - measure(confusions[1])

    chance = np.random.default_rng(seed)
    at_once = max(1, DRAWS_AT_ONCE // max(size * size, len(counts)))
    draws = []
    for start in range(0, resamples, at_once):
        several = min(at_once, resamples - start)
        draws.append(difference(chance.multinomial(len(labels), counts / counts.sum(), size=several)))
    right, right_reference = candidate == labels, reference == labels
    return Difference(
        value=float(difference(counts[None])[0]),
        draws=np.sort(np.concatenate(draws)),
        rows=len(labels),
        won=int((right & ~right_reference).sum()),
        lost=int((right_reference & ~right).sum()),
        exact=metric == "accuracy",
    )


def accuracy(counts: Counts) -> npt.NDArray[np.float64]:
    """Share of rows on the diagonal [draws]."""
    share: npt.NDArray[np.float64] = np.trace(counts, axis1=1, axis2=2) / counts.sum(axis=(1, 2))
    return share


def precision(counts: Counts) -> npt.NDArray[np.float64]:
    """Mean over labels of right / predicted so [draws]; 0 where a label is never predicted."""
    return _macro(counts, _share(_right(counts), counts.sum(axis=1)))


def recall(counts: Counts) -> npt.NDArray[np.float64]:
    """Mean over labels of right / truly so [draws]; 0 where a label does not occur."""
    return _macro(counts, _share(_right(counts), counts.sum(axis=2)))


def macro_f1(counts: Counts) -> npt.NDArray[np.float64]:
    """Mean over labels of 2 right / (truly + predicted so) [draws]."""
    return _macro(counts, _share(2 * _right(counts), counts.sum(axis=1) + counts.sum(axis=2)))


METRICS: dict[str, Callable[[Counts], npt.NDArray[np.float64]]] = {
    "accuracy": accuracy,
    "precision": precision,
    "recall": recall,
    "macro_f1": macro_f1,
}
"""The metrics of `gate.metrics`, from confusion counts, as scikit-learn defines them with macro averages."""


def _right(counts: Counts) -> npt.NDArray[np.float64]:
    return np.diagonal(counts, axis1=1, axis2=2)


def _share(part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)


def _macro(counts: Counts, by_label: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean over the labels that occur or are predicted, as scikit-learn takes it."""
    present = (counts.sum(axis=1) + counts.sum(axis=2)) > 0
    mean: npt.NDArray[np.float64] = (by_label * present).sum(axis=1) / present.sum(axis=1)
    return mean
