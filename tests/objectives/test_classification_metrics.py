import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from hone.configs.delivery import EvaluateSettings
from hone.tasks.objectives.judging import judging
from hone.tasks.objectives.text_classification.metrics import METRICS, calibration_error

NAMES = (*METRICS, "calibration_error")


def score(logits, labels, bins):
    found = judging("text-classification").score(logits, labels, EvaluateSettings(calibration_bins=bins))
    return found.metrics, found.confusion


def test_calibration_error_worked_by_hand():
    # Of 4 bins, (0.5, 0.75] holds 0.6 and 0.7, one of two right; (0.75, 1] holds 0.8, 0.9 and 1.0, all right.
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7], [0.8, 0.2], [0.1, 0.9], [1.0, 0.0]])
    labels = np.array([0, 0, 0, 1, 0])
    expected = 2 / 5 * abs(0.5 - 0.65) + 3 / 5 * abs(1.0 - 0.9)
    assert calibration_error(probabilities, labels, bins=4) == pytest.approx(expected, abs=1e-12)


def test_a_confidence_on_a_bin_edge_belongs_to_the_bin_below():
    # 0.5 and 0.4 both lie in (0, 0.5]: wrong at 0.5 and right at 0.4 nearly cancel, which they would not in two bins.
    probabilities = np.array([[0.5, 0.3, 0.2], [0.4, 0.3, 0.3]])
    labels = np.array([1, 0])
    assert calibration_error(probabilities, labels, bins=2) == pytest.approx(abs(0.5 - 0.45), abs=1e-12)


def test_a_model_that_is_as_sure_as_it_is_right_has_no_calibration_error():
    probabilities = np.tile([0.75, 0.25], (4, 1))
    assert calibration_error(probabilities, np.array([0, 0, 0, 1]), bins=15) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("bins", [1, 2, 15, 1000])
def test_calibration_error_agrees_with_a_loop_over_bins(bins):
    rng = np.random.default_rng(bins)
    probabilities = rng.dirichlet(np.ones(5), size=400)
    labels = rng.integers(0, 5, 400)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    total = 0.0
    for place in range(bins):
        inside = (confidence > place / bins) & (confidence <= (place + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration_error(probabilities, labels, bins) == pytest.approx(total, abs=1e-12)


def test_metrics_are_scikit_learns_macro_averages():
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(size=(300, 4)), rng.integers(0, 4, 300)
    values, _ = score(logits, labels, bins=15)
    predicted = logits.argmax(axis=1)
    assert values["accuracy"] == accuracy_score(labels, predicted)
    assert values["precision"] == precision_score(labels, predicted, average="macro")
    assert values["recall"] == recall_score(labels, predicted, average="macro")
    assert values["macro_f1"] == f1_score(labels, predicted, average="macro")
    assert tuple(values) == NAMES


def test_confusion_has_true_labels_as_rows_and_every_label_even_if_absent():
    logits = np.array([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    _, confusion = score(logits, np.array([0, 1, 1]), bins=15)
    assert confusion == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]


def test_shifting_all_logits_of_a_row_changes_nothing():
    rng = np.random.default_rng(4)
    logits, labels = rng.normal(size=(50, 3)), rng.integers(0, 3, 50)
    shifted = logits + rng.normal(size=(50, 1))
    assert score(shifted, labels, 15)[0] == pytest.approx(score(logits, labels, 15)[0], abs=1e-12)
