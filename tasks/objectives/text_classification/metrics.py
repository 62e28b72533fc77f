"""How good predicted labels are: what scikit-learn counts with macro averages, and how far confidence is from accuracy.

A row's statistics are three rows of flags side by side: its true label, the predicted one, and the label that is both,
[3 x labels]. Their sums say of every label how often it is true, predicted and right, which is all that the metrics
need of a confusion matrix. The matrix's own cells would be [labels x labels] numbers for each row: at 150 labels 22,500
of them instead of 450.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.metric import Metric, Statistics, Sums, Values, share

Ids = npt.NDArray[np.int64]
RIGHT_AND_WRONG = "alone right on {won:,} rows, alone wrong on {lost:,} of {rows:,}"


def statistics_of(true: Ids, predicted: Ids, labels: int) -> Statistics:
    """uint8 [rows, 3 x labels]: flags of the true label, of the predicted one, and of the one that is both. A predicted
    id beyond the labels is an answer that is none: it has no second flag, and is wrong.

    Args:
        true, predicted: [rows] label ids.
    """
    found = np.zeros((len(true), 3, labels), np.uint8)
    rows = np.arange(len(true))
    found[rows, 0, true] = 1
    answered, right = predicted < labels, predicted == true
    found[rows[answered], 1, predicted[answered]] = 1
    found[rows[right], 2, true[right]] = 1
    return found.reshape(len(true), 3 * labels)


def accuracy(sums: Sums) -> Values:
    """Share of rows that are right [draws]."""
    true, _, right = _counts(sums)
    return np.asarray(right.sum(axis=1) / true.sum(axis=1))


def precision(sums: Sums) -> Values:
    """Mean over labels of right / predicted so [draws]; 0 where a label is never predicted."""
    _, predicted, right = _counts(sums)
    return _macro(sums, share(right, predicted))


def recall(sums: Sums) -> Values:
    """Mean over labels of right / truly so [draws]; 0 where a label does not occur."""
    true, _, right = _counts(sums)
    return _macro(sums, share(right, true))


def macro_f1(sums: Sums) -> Values:
    """Mean over labels of 2 right / (truly + predicted so) [draws]."""
    true, predicted, right = _counts(sums)
    return _macro(sums, share(2 * right, predicted + true))


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", accuracy, share_of_rows=True, disagreement=RIGHT_AND_WRONG),
        Metric("precision", "precision", precision, disagreement=RIGHT_AND_WRONG),
        Metric("recall", "recall", recall, disagreement=RIGHT_AND_WRONG),
        Metric("macro_f1", "macro F1", macro_f1, disagreement=RIGHT_AND_WRONG),
    )
}
"""Precision and recall are macro averages, like F1: every label weighs the same, however rare."""


def calibration_error(probabilities: npt.NDArray[np.float64], labels: Ids, bins: int) -> float:
    """Expected calibration error: sum over bins of |B|/n * |accuracy(B) - confidence(B)|.

    Confidence is the largest probability of a row. Bin m of M holds confidences in ((m-1)/M, m/M], so a confidence on
    an edge belongs to the bin below it.

    Args:
        probabilities: [rows, labels], rows summing to 1.
        labels: [rows].

    Source: Guo et al., On Calibration of Modern Neural Networks (2017), equation 3.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(bin_of, weights=correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(labels))


def _counts(sums: Sums) -> tuple[Sums, Sums, Sums]:
    """How often each label is true, predicted and right, [draws, labels] each."""
    by_label = sums.reshape(len(sums), 3, -1)
    return by_label[:, 0], by_label[:, 1], by_label[:, 2]


def _macro(sums: Sums, by_label: Sums) -> Values:
    """Mean over the labels that occur or are predicted, as scikit-learn takes it. Answers that are none count as one
    label more, predicted and never true."""
    true, predicted, _ = _counts(sums)
    present, none = (predicted + true) > 0, true.sum(axis=1) > predicted.sum(axis=1)
    return np.asarray((by_label * present).sum(axis=1) / (present.sum(axis=1) + none))
