"""How a classifier's answers become statistics of rows, and what its forms and its labels are held against."""

import numpy as np
import pytest

from hone.configs.delivery import EvaluateSettings
from hone.tasks.objectives.judging import FormDifference, judging
from hone.tasks.objectives.text_classification.metrics import METRICS, statistics_of

JUDGING = judging("text-classification")


def test_statistics_are_flags_of_the_true_label_the_predicted_one_and_the_one_that_is_both() -> None:
    logits = np.float32([[0, 2, 0], [3, 0, 0]])
    assert JUDGING.statistics(logits, np.array([1, 2])).tolist() == [
        [0, 1, 0, 0, 1, 0, 0, 1, 0],
        [0, 0, 1, 1, 0, 0, 0, 0, 0],
    ]


def test_an_answer_that_is_no_number_is_seen_in_the_statistics_and_is_wrong() -> None:
    logits = np.eye(2, dtype=np.float32)[[0, 1, 1]]
    logits[1, 0] = np.nan
    statistics = JUDGING.statistics(logits, np.array([0, 1, 1]))
    assert JUDGING.unanswered(statistics).tolist() == [False, True, False]
    assert METRICS["accuracy"].of(statistics) == pytest.approx(2 / 3)
    # It counts as a label of its own, as scikit-learn counts one that is predicted and never true.
    assert METRICS["macro_f1"].of(statistics) == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_statistics_of_many_labels_take_no_more_memory_than_the_logits() -> None:
    labels = np.arange(150).repeat(2)
    assert statistics_of(labels, labels, 150).nbytes <= np.zeros((300, 150), np.float32).nbytes


def test_the_numbers_of_a_hand_off_worked_by_hand() -> None:
    source = np.float32([[0, 2], [2, 0], [0, 2], [2, 0]])  # standard deviation 1
    target = np.float32([[0, 2], [0, 2], [0, 2], [2, 0]])
    found = JUDGING.compare(source, target, np.array([1, 1, 0, 0]))
    assert found == FormDifference(2.0, rms_share=1.0, agreement=0.75, accuracy_difference=0.25)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_no_numbers_differ_without_bound_and_agree_with_nothing(bad: float) -> None:
    sound, targets = np.float32([[0, 1], [1, 0]]), np.array([1, 0])
    one = np.float32([[0, 1], [bad, 0]])
    assert JUDGING.compare(sound, one, targets) == FormDifference(np.inf, np.inf, 0.5, -0.5)
    both = np.full((2, 2), bad, np.float32)
    assert JUDGING.compare(both, both, targets).agreement == 0.0
    assert JUDGING.compare(sound, np.zeros((2, 3), np.float32), targets).max_abs_difference == np.inf


def test_labels_of_another_model_are_matched_by_name_and_a_new_one_is_never_its_answer() -> None:
    answers = np.float32([[1, 2], [4, 3]])
    found = JUDGING.translate(answers, ["bad", "good"], ["good", "new", "bad"])
    assert found[:, [2, 0]].tolist() == answers.tolist()
    assert found.argmax(axis=1).tolist() == [0, 2]


@pytest.mark.parametrize("nonsense", [np.nan, np.inf, -np.inf])
def test_a_model_that_answers_no_number_has_no_metric_to_pass_on(nonsense: float) -> None:
    logits = np.array([[0.0, 1.0], [nonsense, 1.0], [1.0, 0.0]], np.float32)
    score = JUDGING.score(logits, np.array([1, 1, 0]), EvaluateSettings())
    assert (score.metrics, score.confusion) == ({"nonfinite_rows": 1.0}, [])


def test_a_task_without_a_folder_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="task = 'astrology': it has no folder in tasks/objectives/"):
        judging("astrology")
