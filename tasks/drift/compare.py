"""Two samples held against each other: how far apart they are, and whether chance alone could do that.

The index says how much and the test says how sure. Few rows make a large index by chance; of many rows a test finds
the smallest difference. So what has drifted is what both say.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2_contingency, ks_2samp

from hone.tasks.holm import holm

Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
CELLS = 10
LEVEL = 0.01
"""Chance that data without any drift are said to have some."""
RESAMPLES = 9_999
"""The least p value, 0.0001, is below the level after Holm's correction over all parts, for one that drifted alone."""
ENOUGH = 20  # resamples as far apart as the samples: there are more, so the test ends
AT_ONCE = 200  # resamples: 16 MB of them


@dataclass(frozen=True)
class Difference:
    """One comparison."""

    index: float
    """Population stability index."""
    test: str
    p_value: float


def stability_index(before: Counts, now: Counts) -> float:
    """Population stability index, the sum of (now - before) ln(now / before) over the cells' shares: 0 for equal
    shares, the same with the two exchanged. Each cell counts half a row more, so that an empty one stays finite; cells
    empty in both are left out.

    Args:
        before, now: [cells] counts.

    Source: Yurdakul and Naranjo 2020, Statistical properties of the population stability index.
    """
    used = (before + now) > 0
    return float(_indices(before[used], now[used]))


def compare_categories(before: Counts, now: Counts) -> Difference:
    """Counts of the same categories [categories], by the chi-squared test of homogeneity."""
    table = np.stack([before, now])
    table = table[:, table.sum(axis=0) > 0]
    p_value = float(chi2_contingency(table, correction=False).pvalue) if table.shape[1] > 1 else 1.0
    return Difference(stability_index(before, now), "chi-squared", p_value)


def compare_numbers(before: Numbers, now: Numbers, *, only_larger: bool = False) -> Difference:
    """One number a row, by the Kolmogorov-Smirnov test; the index over the deciles of `before`.

    Args:
        only_larger: ask only whether the numbers have become larger.
    """
    old, new = _in_cells(before, now)
    found = ks_2samp(before, now, alternative="greater" if only_larger else "two-sided", method="asymp")
    return Difference(stability_index(old, new), "Kolmogorov-Smirnov", float(found.pvalue))


def compare_columns(before: Numbers, now: Numbers) -> Difference:
    """Several numbers a row [rows, columns]: the largest index, and the least p value after Holm's correction."""
    columns = [compare_numbers(before[:, index], now[:, index]) for index in range(before.shape[1])]
    p_value = min(holm([column.p_value for column in columns]))
    return Difference(max(column.index for column in columns), "Kolmogorov-Smirnov", p_value)


def compare_words(before: Counts, now: Counts, seed: int) -> Difference:
    """How often each word occurs in each row [rows, words], by a permutation test of the index. Rows are exchanged, not
    words, as the words of one row belong together.

    Source of the early end: Besag and Clifford 1991, Sequential Monte Carlo p-values.
    """
    counts = np.concatenate([before, now])
    counts = counts[:, counts.any(axis=0)].astype(np.float32)
    first = np.arange(len(counts)) < len(before)
    total = counts.sum(axis=0)
    observed = stability_index(before.sum(axis=0), now.sum(axis=0))
    rng, tried, reached = np.random.default_rng(seed), 0, 0
    while tried < RESAMPLES:
        count = min(AT_ONCE, RESAMPLES - tried)
        drawn = rng.permuted(np.tile(first, (count, 1)), axis=1)
        old = drawn.astype(np.float32) @ counts
        far = np.flatnonzero(_indices(old, total - old) >= observed * (1 - 1e-6))  # sums in another order differ
        if reached + len(far) >= ENOUGH:
            last = tried + int(far[ENOUGH - reached - 1]) + 1
            return Difference(observed, "permutation", ENOUGH / last)
        tried, reached = tried + count, reached + len(far)
    return Difference(observed, "permutation", (reached + 1) / (tried + 1))


def _indices(before: npt.NDArray[Any], now: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Stability index of counts [..., cells] that are not 0 in both."""
    old, new = before + 0.5, now + 0.5
    p, q = (side / side.sum(axis=-1, keepdims=True) for side in (old, new))
    result: npt.NDArray[np.float64] = ((q - p) * np.log(q / p)).sum(axis=-1)
    return result


def _in_cells(before: Numbers, now: Numbers) -> tuple[Counts, Counts]:
    """Counts [cells] between the deciles of `before`, with a cell below its least value."""
    inner = np.quantile(before, np.linspace(0, 1, CELLS + 1)[1:-1])
    edges = np.unique(np.concatenate([[np.nextafter(before.min(), -np.inf)], inner]))
    old, new = (
        np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1) for values in (before, now)
    )
    return old, new
