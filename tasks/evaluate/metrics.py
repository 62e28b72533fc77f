"""How good predictions are: what scikit-learn counts, and how far confidence is from accuracy."""

import numpy as np
from scipy.special import softmax
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

METRICS = ("accuracy", "precision", "recall", "macro_f1", "calibration_error")
"""Precision and recall are macro averages, like F1: every label weighs the same, however rare."""


def score(logits: np.ndarray, labels: np.ndarray, bins: int) -> tuple[dict[str, float], list[list[int]]]:
    """Metrics by name and the confusion matrix.

    A model that answers NaN or infinity has no metrics but `nonfinite_rows`, the number of such rows, and no confusion
    matrix: the gate then refuses it for what is missing.

    Args:
        logits: [rows, labels]; argmax is the prediction, the first of equals.
        labels: [rows] integers in 0..labels-1.
        bins: equal-width confidence bins of the calibration error.

    Returns:
        `METRICS`, each in 0..1, and counts [true label][predicted label].
    """
    nonfinite = ~np.isfinite(logits).all(axis=1)
    if nonfinite.any():
        return {"nonfinite_rows": float(nonfinite.sum())}, []
    predicted = logits.argmax(axis=1)
    precision, recall, macro_f1, _ = precision_recall_fscore_support(
        labels, predicted, average="macro", zero_division=0.0
    )
    values = {
        "accuracy": accuracy_score(labels, predicted),
        "precision": precision,
        "recall": recall,
        "macro_f1": macro_f1,
        "calibration_error": calibration_error(softmax(logits.astype(np.float64), axis=1), labels, bins),
    }
    counts = confusion_matrix(labels, predicted, labels=np.arange(logits.shape[1]))
    return {name: float(values[name]) for name in METRICS}, counts.tolist()


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> float:
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
