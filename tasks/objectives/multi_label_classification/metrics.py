"""How good the labels given to texts are, where a text may have several: what scikit-learn counts with micro and macro
averages.

A row's statistics are three rows of flags side by side, the labels it has, those it is given, and those in both; then
whether these are the same, a 1 for the row, and whether its answer is no number: [3 x labels + 3].
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.metric import Metric, Statistics, Sums, Values, share

Flags = npt.NDArray[np.bool_]
DISAGREEMENT = "better on {won:,} texts, worse on {lost:,} of {rows:,}"


def statistics_of(true: Flags, given: Flags, broken: npt.NDArray[np.bool_]) -> Statistics:
    """uint8 [rows, 3 x labels + 3].

    Args:
        true, given: [rows, labels].
        broken: rows [rows] whose answer is no number: they are given nothing, and are wrong.
    """
    given = given & ~broken[:, None]
    same = (true == given).all(axis=1) & ~broken
    one = np.ones(len(true), np.bool_)
    return np.hstack([true, given, true & given, same[:, None], one[:, None], broken[:, None]]).astype(np.uint8)


def by_label(sums: Sums) -> tuple[Sums, Sums, Sums]:
    """How often each label is true, given, and rightly so [draws, labels] each."""
    true, given, right = np.moveaxis(sums[:, :-3].reshape(len(sums), 3, -1), 1, 0)
    return true, given, right


def micro_f1(sums: Sums) -> Values:
    """2 right / (true + given), of all labels together [draws]; 0 where there are none on either side."""
    true, given, right = by_label(sums)
    return share(2 * right.sum(axis=1), true.sum(axis=1) + given.sum(axis=1))


def macro_f1(sums: Sums) -> Values:
    """Mean of the labels' F1 [draws], over those that are true or given somewhere. (scikit-learn's mean has all labels
    that there are, and 0 for those that are neither; where each label occurs the two are the same.)"""
    true, given, right = by_label(sums)
    there = (true + given) > 0
    return share((share(2 * right, true + given) * there).sum(axis=1), there.sum(axis=1).astype(np.float64))


def precision(sums: Sums) -> Values:
    """Share of the given labels that are right, of all labels together [draws]; 0 where none is given."""
    _true, given, right = by_label(sums)
    return share(right.sum(axis=1), given.sum(axis=1))


def recall(sums: Sums) -> Values:
    """Share of the true labels that are given, of all labels together [draws]; 0 where there is none."""
    true, _given, right = by_label(sums)
    return share(right.sum(axis=1), true.sum(axis=1))


def accuracy(sums: Sums) -> Values:
    """Share of texts that are given just the labels they have [draws]."""
    return np.asarray(sums[:, -3] / sums[:, -2])


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("micro_f1", "micro F1", micro_f1, disagreement=DISAGREEMENT),
        Metric("macro_f1", "macro F1", macro_f1, disagreement=DISAGREEMENT),
        Metric("precision", "precision", precision, disagreement=DISAGREEMENT),
        Metric("recall", "recall", recall, disagreement=DISAGREEMENT),
        Metric(
            "accuracy",
            "all labels right",
            accuracy,
            share_of_rows=True,
            disagreement="alone right on {won:,} texts, alone wrong on {lost:,} of {rows:,}",
        ),
    )
}
"""Precision and recall are micro averages, as their harmonic mean is the primary metric."""
