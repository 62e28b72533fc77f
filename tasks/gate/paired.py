"""How far one classifier is from another on the same rows, and how sure that is.

Both answer the same examples, so it is the examples on which they differ that tell them apart: far fewer rows settle
a question than if each had rows of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, norm

Counts = npt.NDArray[np.float64]
"""[draws, labels, labels]: rows are true labels, columns predicted ones."""
DRAWS_AT_ONCE = 4_000_000  # numbers in memory at once
NUISANCE = 60
"""Values of the share of disagreement over which the exact test takes its worst case."""
NUISANCE_RISK = 1e-4
"""Risk that the share of disagreement lies beyond them, added to the p value. Source: Berger and Boos 1994."""


@dataclass(frozen=True)
class Difference:
    """A metric of the candidate less the reference's, with its bootstrap distribution."""

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

    def low(self, level: float) -> float:
        """Lower one-sided confidence bound: the percentile of the bootstrap."""
        return float(np.quantile(self.draws, level))

    def high(self, level: float) -> float:
        """Upper one-sided confidence bound."""
        return float(np.quantile(self.draws, 1 - level))

    def p_not_inferior(self, margin: float) -> float:
        """Against the hypothesis that the candidate is worse by the margin or more: small says that it is not.

        For accuracy the larger one of the bootstrap's and the exact test's, as a bootstrap of a handful of
        disagreements is too sure of itself, and of none at all is certain.
        """
        below = np.searchsorted(self.draws, -margin, side="right")
        bootstrap = (1 + int(below)) / (1 + len(self.draws))
        return max(bootstrap, exact_p(self.won, self.lost, self.rows, margin)) if self.exact else bootstrap

    def p_inferior(self, margin: float) -> float:
        """Against the hypothesis that it is worse by the margin at most: small says that it is worse by more."""
        above = len(self.draws) - int(np.searchsorted(self.draws, -margin, side="left"))
        return (1 + above) / (1 + len(self.draws))

    def smallest_margin(self, level: float) -> float:
        """The smallest margin that these rows would have shown to be kept, to 0.0001."""
        low, high = 0.0, 1.0
        while high - low > 1e-4:
            middle = (low + high) / 2
            low, high = (low, middle) if self.p_not_inferior(middle) <= level else (middle, high)
        return high

    def rows_needed(self, margin: float, level: float) -> int | None:
        """About how many rows would settle it, should difference and disagreement stay as they are; None where no
        number would, as the difference is the margin itself."""
        distance = self.value + margin
        spread = float(self.draws.std()) * np.sqrt(self.rows)
        if abs(distance) < 1e-9 or spread == 0:
            return None
        return int(np.ceil((norm.isf(level) * spread / distance) ** 2))


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


def exact_p(won: int, lost: int, rows: int, margin: float) -> float:
    """Exact unconditional test that accuracy is not worse by the margin: the chance, at the margin itself, of a result
    that speaks as clearly for the candidate, under the least favourable share of disagreement.

    At margin 0 the hypothesis is that the candidate is no better, and the test is McNemar's exact one, with one side.

    Args:
        won: rows that the candidate alone has right.
        lost: rows that the reference alone has right.

    Source: Tango 1998 for the statistic; Hsueh, Liu and Chen 2001 for the test; Berger and Boos 1994 for the range.
    """
    if margin == 0:
        return float(binom.sf(won - 1, won + lost, 0.5)) if won + lost else 1.0
    observed = _score(np.array([won]), np.array([lost]), rows, margin)[0]
    low = max(margin, float(_clopper_pearson(won + lost, rows, NUISANCE_RISK / 2)[0]))
    high = max(low, float(_clopper_pearson(won + lost, rows, NUISANCE_RISK / 2)[1]))
    largest = 0.0
    for share in np.linspace(low, high, NUISANCE):
        first, last = binom.ppf([1e-9, 1 - 1e-9], rows, share).astype(int)
        disagreements = np.arange(first, last + 1)
        least = _least_won(disagreements, rows, margin, observed)
        chance = binom.pmf(disagreements, rows, share)
        tail = binom.sf(least - 1, disagreements, (1 - margin / share) / 2)
        largest = max(largest, float((chance * tail).sum()))
    return min(1.0, largest + NUISANCE_RISK)


def _score(
    won: npt.NDArray[np.int64], lost: npt.NDArray[np.int64], rows: int, margin: float
) -> npt.NDArray[np.float64]:
    """Tango's score statistic for the hypothesis that the difference is -margin."""
    delta = -margin
    a = 2.0 * rows
    b = -won - lost + (2.0 * rows - won + lost) * delta
    c = -lost * delta * (1 - delta)
    share_lost = (np.sqrt(np.maximum(b * b - 4 * a * c, 0)) - b) / (2 * a)
    variance = rows * (2 * share_lost + delta * (1 - delta))
    scores: npt.NDArray[np.float64] = (won - lost - rows * delta) / np.sqrt(np.maximum(variance, 1e-12))
    return scores


def _least_won(
    disagreements: npt.NDArray[np.int64], rows: int, margin: float, observed: float
) -> npt.NDArray[np.int64]:
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
    from scipy.stats import beta

    low = float(beta.ppf(risk, successes, rows - successes + 1)) if successes else 0.0
    high = float(beta.isf(risk, successes + 1, rows - successes)) if successes < rows else 1.0
    return low, high


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
