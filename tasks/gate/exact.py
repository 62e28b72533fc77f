"""The exact unconditional test of two classifiers' accuracies on the same rows, in both directions, and its bounds.

Only the rows on which one of the two alone is right tell them apart. How many such rows there would be is not known, so
the test takes the least favourable share of them, within what the rows themselves leave possible.

Source: Tango 1998 for the statistic; Hsueh, Liu and Chen 2001 for the test; Berger and Boos 1994 for the range.
"""

import functools

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import betainc
from scipy.stats import beta, binom, norm

Counts = npt.NDArray[np.int64]
NUISANCE, FEWEST = 60, 12
"""Values of the share of disagreement over which the test takes its worst case; fewer where many rows disagree, as the
p value then hardly changes between them."""
NUISANCE_RISK = 1e-6
"""Risk that the share of disagreement lies beyond them, added to the p value: no level below it can be shown."""
PRECISION = 1e-5
"""Of a bound: a thousandth of a point."""


@functools.lru_cache(maxsize=100_000)
def exact_p(won: int, lost: int, rows: int, margin: float) -> float:
    """p value of the hypothesis that accuracy is worse by the margin or more: the chance, at the margin itself, of a
    result that speaks as clearly for the candidate, under the least favourable share of disagreement.

    At margin 0 the hypothesis is that the candidate is no better, and the test is McNemar's exact one, with one side.
    A negative margin asks for a lead. `exact_p(lost, won, rows, -margin)` tests the other direction: small says that
    the candidate is worse by more than the margin.

    Args:
        won: rows that the candidate alone has right.
        lost: rows that the reference alone has right.
    """
    if margin == 0:
        return float(binom.sf(won - 1, won + lost, 0.5)) if won + lost else 1.0
    observed = _score(np.array([won]), np.array([lost]), rows, margin)[0]
    low, high = _clopper_pearson(won + lost, rows, NUISANCE_RISK / 2)
    values = max(FEWEST, min(NUISANCE, 100 * NUISANCE // (won + lost + 1)))
    found = _worst_chance(observed, rows, margin, low, high, values)
    if found > 0.5:
        # The range moves with the rows that disagree, and so does its worst case: over the same shares a clearer result
        # for the candidate never has the larger p value. Nothing is decided up here.
        found = max(0.5, _worst_chance(observed, rows, margin, 0.0, 1.0, NUISANCE))
    return min(1.0, found + NUISANCE_RISK)


def _worst_chance(observed: float, rows: int, margin: float, low: float, high: float, values: int) -> float:
    """The largest chance of a statistic as high as the observed, over shares of disagreement from low to high."""
    low = max(abs(margin), low)
    shares = np.linspace(low, max(low, high), values)
    first, last = int(binom.ppf(1e-9, rows, shares[0])), int(binom.ppf(1 - 1e-9, rows, shares[-1]))
    disagreements = np.arange(first, last + 1)
    least = _least_won(disagreements, rows, margin, observed)
    chance = binom.pmf(disagreements, rows, shares[:, None])
    tail = _at_least(least, disagreements, ((1 - margin / shares) / 2)[:, None])
    return float((chance * tail).sum(axis=1).max())


@functools.lru_cache(maxsize=10_000)
def exact_low(won: int, lost: int, rows: int, level: float) -> float:
    """Lower one-sided confidence bound of the difference of accuracies: the largest lead that the test shows at the
    level, negative where it shows a margin only."""
    value = (won - lost) / rows
    spread = float(np.sqrt((won + lost + 1) / rows - value**2) / np.sqrt(rows))
    target = float(norm.isf(level))

    def lacks(bound: float) -> float:
        """How far the test is from showing the bound, in standard errors: nearly linear, so that few steps find it."""
        return target - float(norm.isf(min(exact_p(won, lost, rows, -bound), 1 - 1e-12)))

    high, low = value, max(-1 + PRECISION, value - (target + 1) * spread)
    while lacks(low) > 0:
        if low <= -1 + PRECISION:
            return -1.0
        high, low = low, max(-1 + PRECISION, low - spread)
    found, step = float(brentq(lacks, low, high, xtol=PRECISION)) if lacks(high) > 0 else high, PRECISION
    while lacks(found) > 0:  # p is a staircase: brentq may end above the step
        found, step = max(low, found - step), 2 * step
    # At 0 the test is McNemar's, which a neighbour of 0 need not agree with.
    return 0.0 if found > 0 and exact_p(won, lost, rows, 0) > level else found


def exact_high(won: int, lost: int, rows: int, level: float) -> float:
    """Upper one-sided confidence bound of the difference of accuracies."""
    return -exact_low(lost, won, rows, level)


def _at_least(least: Counts, trials: Counts, chance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Chance of at least so many wins [..., trials]; scipy.stats asks more questions of its arguments than it takes to
    answer."""
    inside = (least > 0) & (least <= trials)
    first, second = np.where(inside, least, 1), np.where(inside, trials - least + 1, 1)
    result: npt.NDArray[np.float64] = np.where(inside, betainc(first, second, chance), least <= 0)
    return result


def _score(won: Counts, lost: Counts, rows: int, margin: float) -> npt.NDArray[np.float64]:
    """Tango's score statistic for the hypothesis that the difference is -margin."""
    delta = -margin
    a = 2.0 * rows
    b = -won - lost + (2.0 * rows - won + lost) * delta
    c = -lost * delta * (1 - delta)
    share_lost = (np.sqrt(np.maximum(b * b - 4 * a * c, 0)) - b) / (2 * a)
    variance = rows * (2 * share_lost + delta * (1 - delta))
    scores: npt.NDArray[np.float64] = (won - lost - rows * delta) / np.sqrt(np.maximum(variance, 1e-12))
    return scores


def _least_won(disagreements: Counts, rows: int, margin: float, observed: float) -> Counts:
    """For each number of disagreements the fewest wins whose score reaches the observed one; one more than there are
    where none does. The score rises with the wins."""
    low, high = np.zeros_like(disagreements), disagreements + 1
    while (low < high).any():
        middle = (low + high) // 2
        reaches = _score(middle, disagreements - middle, rows, margin) >= observed - 1e-9
        high = np.where((low < high) & reaches, middle, high)
        low = np.where((low < high) & ~reaches, middle + 1, low)
        high = np.maximum(high, low)
    return low


def _clopper_pearson(successes: int, rows: int, risk: float) -> tuple[float, float]:
    low = float(beta.ppf(risk, successes, rows - successes + 1)) if successes else 0.0
    high = float(beta.isf(risk, successes + 1, rows - successes)) if successes < rows else 1.0
    return low, high
