"""How much faster one model is than another, from single timings, and how sure that is.

What varies is the process more than the call: a model timed in one process can be 20 % slower than in the next. So a
draw first takes rounds with replacement, the same for both models as they ran side by side, and then calls within each.
Few rounds vary too little among themselves, and their spread is itself uncertain: a bound lies further from the value
than the bootstrap's by sqrt(R / (R - 1)) (Davison and Hinkley 1997, section 2.3) and by Student's t over the normal
quantile.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Rounds = Sequence[Sequence[float]]
"""Milliseconds of every call of one cell, by round."""
Numbers = npt.NDArray[np.float64]
DRAWN_AT_ONCE = 4_000_000  # calls in memory at once


@dataclass(frozen=True)
class Measured:
    """A number with its bootstrap distribution."""

    value: float
    draws: Numbers
    """[resamples], sorted."""
    rounds: int
    """Rounds that were drawn from. Of a single one it is not known how much the next would differ."""

    def low(self, level: float) -> float:
        """Lower one-sided confidence bound."""
        return self._bound(level, level)

    def high(self, level: float) -> float:
        """Upper one-sided confidence bound."""
        return self._bound(1 - level, level)

    def _bound(self, share: float, level: float) -> float:
        drawn = float(np.quantile(self.draws, share))
        if self.rounds == 1 or not self.value:
            return drawn
        further = stats.t.ppf(1 - level, self.rounds - 1) / stats.norm.ppf(1 - level)
        further *= np.sqrt(self.rounds / (self.rounds - 1))
        return float(self.value * (drawn / self.value) ** further)


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
    chance = np.random.default_rng(seed)
    count = rounds.pop()
    taken = chance.integers(0, count, (resamples, count))
    logs = np.zeros(resamples)
    value = 0.0
    for fast, slow in zip(candidate, baseline, strict=True):
        logs += np.log(_quantiles(slow, 0.5, taken, chance)) - np.log(_quantiles(fast, 0.5, taken, chance))
        value += float(np.log(np.median(np.concatenate(slow))) - np.log(np.median(np.concatenate(fast))))
    return Measured(float(np.exp(value / len(candidate))), np.sort(np.exp(logs / len(candidate))), count)


def percentile(cell: Rounds, share: float, *, resamples: int, seed: int) -> Measured:
    """A percentile of a cell's calls in milliseconds, such as the p95 for share = 0.95."""
    chance = np.random.default_rng(seed)
    taken = chance.integers(0, len(cell), (resamples, len(cell)))
    value = float(np.quantile(np.concatenate(cell), share))
    return Measured(value, np.sort(_quantiles(cell, share, taken, chance)), len(cell))


def _quantiles(cell: Rounds, share: float, taken: npt.NDArray[np.int64], chance: np.random.Generator) -> Numbers:
    """[resamples]: the quantile of the calls drawn from the taken rounds [resamples, rounds]. Of each round as many
    calls are drawn as the shortest one has, so that a round that was slow does not weigh less."""
    calls = min(len(one) for one in cell)
    flat = np.concatenate([np.asarray(one, dtype=np.float64) for one in cell])
    lengths = np.array([len(one) for one in cell])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    found = np.empty(len(taken))
    at_once = max(1, DRAWN_AT_ONCE // (calls * taken.shape[1]))
    for first in range(0, len(taken), at_once):
        rounds = taken[first : first + at_once, :, None]
        places = starts[rounds] + (chance.random((*rounds.shape[:2], calls)) * lengths[rounds]).astype(np.int64)
        found[first : first + at_once] = np.quantile(flat[places].reshape(len(rounds), -1), share, axis=1)
    return found
