"""How far one model is from another on the same rows, in any metric, and how sure that is.

Both answer the same examples, so it is the examples on which they differ that tell them apart: far fewer rows settle
a question than if each had rows of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from hone.tasks.gate.exact import exact_high, exact_low, exact_p
from hone.tasks.objectives.metric import Metric, Statistics

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
    """How much better the candidate is than the reference in a metric, and how sure that is: where the metric is a
    share of rows by an exact test, and else by the bootstrap."""

    value: float
    """`Metric.gain`: negative where the candidate is worse."""
    draws: npt.NDArray[np.float64]
    """[resamples], sorted: the value on each resample of the rows."""
    rows: int
    won: int
    """Rows on which the candidate alone is right, or is better."""
    lost: int
    """Rows on which the reference alone is right, or is better."""
    metric: Metric

    @property
    def spread(self) -> float:
        """Standard error of the value."""
        return float(self.draws.std())

    def low(self, level: float) -> float:
        """Lower one-sided confidence bound."""
        bound = exact_low(self.won, self.lost, self.rows, level)
        if self.metric.share_of_rows:
            return bound
        return min(self._drawn(level, -1.0), bound) if self._few else self._drawn(level, -1.0)

    def high(self, level: float) -> float:
        """Upper one-sided confidence bound."""
        bound = exact_high(self.won, self.lost, self.rows, level)
        if self.metric.share_of_rows:
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
        """Too few disagreements for a bootstrap: of none at all it is certain. The exact test then bounds any metric,
        as if its margin were one of rows."""
        return self.won + self.lost < FEW

    def _p(self, exact: float, at: float, beyond: Callable[..., Any], side: float) -> float:
        if self.metric.share_of_rows:
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
        if not self.metric.share_of_rows and not self._few:
            return rows
        while rows < MOST_TESTED:
            won, lost = (round(count * rows / self.rows) for count in (self.won, self.lost))
            p = exact_p(won, lost, rows, margin) if self.value > -margin else exact_p(lost, won, rows, -margin)
            if p <= level:
                break
            rows = int(np.ceil(1.05 * rows))
        return rows


def paired_difference(
    candidate: Statistics, reference: Statistics, metric: Metric, *, resamples: int, seed: int
) -> Difference:
    """Paired bootstrap: rows are drawn with replacement, each with the statistics of both models.

    Args:
        candidate, reference: [rows, k] of the same rows.

    Source: Efron and Tibshirani 1993, chapter 13.
    """
    if not len(candidate):
        raise ValueError("no rows to compare on")
    kinds = _kinds_of(candidate, reference)
    rng = np.random.default_rng(seed)
    draws = [metric.gain(w @ kinds.candidate, w @ kinds.reference) for w in kinds.weights(rng, resamples)]
    everything = kinds.counts[None].astype(np.float64)
    by_kind = metric.gain(kinds.candidate, kinds.reference)  # of one row of each kind
    return Difference(
        value=float(metric.gain(everything @ kinds.candidate, everything @ kinds.reference)[0]),
        draws=np.sort(np.concatenate(draws)),
        rows=len(candidate),
        won=int(kinds.counts[by_kind > 0].sum()),
        lost=int(kinds.counts[by_kind < 0].sum()),
        metric=metric,
    )


@dataclass(frozen=True)
class _Kinds:
    """Rows whose statistics are the same for both models, taken together."""

    candidate: npt.NDArray[np.float64]
    """[kinds, k]: of one row."""
    reference: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    """[kinds]: rows."""
    alike: bool
    """Whether rows were taken together at all."""

    def weights(self, rng: np.random.Generator, resamples: int) -> Iterator[npt.NDArray[np.float64]]:
        """How often each kind stands in each resample [draws, kinds], some resamples at a time."""
        rows, kinds = int(self.counts.sum()), len(self.counts)
        at_once = max(1, DRAWS_AT_ONCE // max(kinds, self.candidate.shape[1]))
        for start in range(0, resamples, at_once):
            draws = min(at_once, resamples - start)
            if not self.alike:
                drawn = rng.integers(0, rows, (draws, rows)) + rows * np.arange(draws)[:, None]
                yield np.bincount(drawn.ravel(), minlength=draws * rows).reshape(draws, rows).astype(np.float64)
            else:
                # What a draw gives depends only on how often each kind occurs in it, so those counts are drawn from
                # their multinomial distribution, which is the same and takes far less.
                yield rng.multinomial(rows, self.counts / rows, size=draws).astype(np.float64)


def _kinds_of(candidate: Statistics, reference: Statistics) -> _Kinds:
    """Distinct rows of both statistics and how many there are of each, the largest first in the order of the columns.
    Statistics that are no whole numbers hardly ever occur twice: each row is then its own kind."""
    width, both = candidate.shape[1], np.hstack([candidate, reference])
    if not np.issubdtype(both.dtype, np.integer):
        one, other = np.split(both.astype(np.float64), [width], axis=1)
        return _Kinds(one, other, np.ones(len(both), np.int64), alike=False)
    both = both[np.lexsort(both.T[::-1])[::-1]]
    first = np.flatnonzero(np.concatenate([[True], (both[1:] != both[:-1]).any(axis=1)]))
    counts = np.diff(np.concatenate([first, [len(both)]]))
    one, other = np.split(both[first].astype(np.float64), [width], axis=1)
    return _Kinds(one, other, counts, alike=True)
