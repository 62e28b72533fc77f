"""How much faster one model is than another, from single timings, and how sure that is.

What varies is the process more than the call: a model timed in one process can be 20 % slower than in the next. So a
draw first takes rounds with replacement, the same for both models as they ran side by side, and then calls within each.
Few rounds vary too little among themselves, and their spread is itself uncertain: a bound lies Student's t times the
spread of the draws away, on the scale of logarithms, the spread widened by sqrt(R / (R - 1)) (Davison and Hinkley 1997,
section 2.3). Of a single round it is not known how much the next would differ, so nothing is known of the ratio.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Rounds = Sequence[Sequence[float]]
"""Milliseconds of every call of one cell, by round."""
Numbers = npt.NDArray[np.float64]
DRAWN_AT_ONCE = 4_000_000  # calls in memory at once
MOST_ROUNDS = 100  # as evaluate.rounds allows
POWER = 0.8
"""Chance with which the rounds that are asked for settle the question."""
LARGEST_EXPONENT = 700.0  # of e, before a float overflows


@dataclass(frozen=True)
class Measured:
    """A number above 0 with its bootstrap distribution."""

    value: float
    draws: Numbers
    """[resamples], sorted."""
    rounds: int
    """Rounds that were drawn from."""

    def low(self, level: float) -> float:
        """Lower one-sided confidence bound; 0 of a single round."""
        return self.value / self._reach(level)

    def high(self, level: float) -> float:
        """Upper one-sided confidence bound; infinite of a single round."""
        return self.value * self._reach(level)

    def p_above(self, threshold: float) -> float:
        """Against the hypothesis that it is the threshold or less: small shows that it is more. At the level of the
        lower bound it is that level."""
        if self.rounds == 1:
            return 1.0
        return float(stats.t.sf(math.log(self.value / threshold) / self.error, self.rounds - 1))

    def p_below(self, threshold: float) -> float:
        """Against the hypothesis that it is the threshold or more: small shows that it is less."""
        return 1.0 if self.rounds == 1 else 1.0 - self.p_above(threshold)

    @property
    def error(self) -> float:
        """Standard error of the logarithm; infinite of a single round."""
        if self.rounds == 1:
            return math.inf
        spread = float(np.log(self.draws).std()) if self.draws[0] < self.draws[-1] else 0.0
        return spread * math.sqrt(self.rounds / (self.rounds - 1))

    def rounds_needed(self, threshold: float, level: float) -> int | None:
        """How many rounds would settle with 80 % chance on which side of the threshold it is, should value and spread
        stay as they are; None where no sensible number would."""
        distance = abs(math.log(self.value / threshold))
        if self.rounds == 1 or not distance:
            return None
        for rounds in range(self.rounds + 1, MOST_ROUNDS + 1):
            reach = stats.t.isf(level, rounds - 1) + stats.t.isf(1 - POWER, rounds - 1)
            if reach * self.error * math.sqrt(self.rounds / rounds) <= distance:
                return rounds
        return None

    def _reach(self, level: float) -> float:
        if self.rounds == 1:
            return math.inf
        return math.exp(min(float(stats.t.isf(level, self.rounds - 1)) * self.error, LARGEST_EXPONENT))


def speedup(candidate: Sequence[Rounds], baseline: Sequence[Rounds], *, resamples: int, seed: int) -> Measured:
    """Geometric mean over the cells of baseline median / candidate median.

    Args:
        candidate, baseline: the calls of each cell; both have the same cells, and every cell the same rounds.

    Raises:
        ValueError: when they have not.
    """
    if len(candidate) != len(baseline) or not candidate:
        raise ValueError(f"{len(candidate)} and {len(baseline)} cells cannot be compared")
    rounds = {len(cell) for cell in [*candidate, *baseline]}
    if len(rounds) != 1:
        raise ValueError(f"the cells were timed in {sorted(rounds)} rounds: each has to be in every round")
    rng = np.random.default_rng(seed)
    count = rounds.pop()
    taken = rng.integers(0, count, (resamples, count))
    logs = np.zeros(resamples)
    value = 0.0
    for fast, slow in zip(candidate, baseline, strict=True):
        logs += np.log(_quantiles(slow, 0.5, taken, rng)) - np.log(_quantiles(fast, 0.5, taken, rng))
        value += float(np.log(np.median(np.concatenate(slow))) - np.log(np.median(np.concatenate(fast))))
    return Measured(float(np.exp(value / len(candidate))), np.sort(np.exp(logs / len(candidate))), count)


def percentile(cell: Rounds, share: float, *, resamples: int, seed: int) -> Measured:
    """A percentile of a cell's calls in milliseconds, such as the p95 for share = 0.95."""
    rng = np.random.default_rng(seed)
    taken = rng.integers(0, len(cell), (resamples, len(cell)))
    value = float(np.quantile(np.concatenate(cell), share))
    return Measured(value, np.sort(_quantiles(cell, share, taken, rng)), len(cell))


def _quantiles(cell: Rounds, share: float, taken: npt.NDArray[np.int64], rng: np.random.Generator) -> Numbers:
    """[resamples]: the quantile of the calls drawn from the taken rounds [resamples, rounds]. Of each round as many
    calls are drawn as the shortest one has, so that a round that was slow does not weigh less."""
    calls = min(len(one) for one in cell)
    flat = np.concatenate([np.asarray(one, dtype=np.float64) for one in cell])
    lengths = np.array([len(one) for one in cell])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    result = np.empty(len(taken))
    at_once = max(1, DRAWN_AT_ONCE // (calls * taken.shape[1]))
    for first in range(0, len(taken), at_once):
        rounds = taken[first : first + at_once, :, None]
        indices = starts[rounds] + (rng.random((*rounds.shape[:2], calls)) * lengths[rounds]).astype(np.int64)
        result[first : first + at_once] = np.quantile(flat[indices].reshape(len(rounds), -1), share, axis=1)
    return result
