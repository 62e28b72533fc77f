"""Several labels of a text: learned, thresholded and judged, by hand and against scikit-learn and torch."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from transformers import BertConfig

from hone.configs.delivery import EvaluateSettings
from hone.tasks.model.text import Rows
from hone.tasks.objectives.judging import judging
from hone.tasks.objectives.learning import learning, learning_of
from hone.tasks.objectives.multi_label_classification import threshold

LEARNS = learning("multi-label-classification")
JUDGES = judging("multi-label-classification")
LABELS = ["a", "b", "c"]
DRAW = np.random.default_rng(0)
FLAGS = (DRAW.random((200, 3)) < (0.5, 0.3, 0.1)).astype(np.int64)
MARGINS = (2.0 * FLAGS - 1 + 1.5 * DRAW.normal(size=FLAGS.shape)).astype(np.float32)


def answered(logits: Any) -> Any:
    return SimpleNamespace(logits=torch.as_tensor(logits))


def test_metrics_are_scikit_learns() -> None:
    found, given = JUDGES.score(MARGINS, FLAGS, EvaluateSettings()), MARGINS > 0
    assert found.metrics == pytest.approx(
        {
            "micro_f1": f1_score(FLAGS, given, average="micro"),
            "macro_f1": f1_score(FLAGS, given, average="macro"),
            "precision": precision_score(FLAGS, given, average="micro"),
            "recall": recall_score(FLAGS, given, average="micro"),
            "accuracy": accuracy_score(FLAGS, given),
        }
    )
    by_label = f1_score(FLAGS, given, average=None)
    assert [found.parts[label]["f1"] for label in range(3)] == pytest.approx(by_label.tolist())
    assert [found.parts[label]["texts"] for label in range(3)] == FLAGS.sum(axis=0).tolist()


def test_an_answer_that_is_no_number_gives_no_label_is_wrong_and_is_told() -> None:
    broken = MARGINS[:2].copy()
    broken[0, 1] = np.nan
    statistics = JUDGES.statistics(broken, np.array([[0, 0, 0], FLAGS[1].tolist()]))
    assert JUDGES.unanswered(statistics).tolist() == [True, False]
    assert statistics[0, :9].tolist() == [0] * 9
    assert statistics[0, 9] == 0  # that it has no label either makes it no right answer
    assert JUDGES.score(broken, FLAGS[:2], EvaluateSettings()).metrics == {"nonfinite_rows": 1.0}


def test_the_threshold_is_the_one_with_the_best_micro_f1_and_of_several_the_one_nearest_to_a_half() -> None:
    sums = LEARNS.validation(answered(MARGINS), {"labels": torch.from_numpy(FLAGS)}).tolist()
    metrics = LEARNS.validation_metrics(sums)
    chances = 1 / (1 + np.exp(-MARGINS.astype(np.float64)))
    scores = [f1_score(FLAGS, chances > cut, average="micro") for cut in threshold.GRID]
    assert metrics["micro_f1"] == pytest.approx(max(scores))
    assert LEARNS.config_chosen(sums) == {"threshold": metrics["threshold"]}
    assert scores[list(threshold.GRID).index(metrics["threshold"])] == max(scores)
    flat = np.full(len(threshold.GRID), 5.0)
    assert threshold.GRID[threshold.best(5.0, flat, flat)] == 0.5


def test_validation_of_parts_adds_up_and_its_loss_is_torchs() -> None:
    flags, logits = torch.from_numpy(FLAGS), torch.from_numpy(MARGINS)
    whole = LEARNS.validation(answered(logits), {"labels": flags})
    parts = [LEARNS.validation(answered(logits[rows]), {"labels": flags[rows]}) for rows in (slice(70), slice(70, 200))]
    assert torch.allclose(whole, parts[0] + parts[1], rtol=1e-12)
    expected = F.binary_cross_entropy_with_logits(logits.double(), flags.double())
    assert LEARNS.validation_metrics(whole.tolist())["loss"] == pytest.approx(float(expected))


def test_the_loss_is_torchs_summed_over_the_labels_and_a_row_without_labels_told_has_none() -> None:
    logits = torch.randn(3, 3, requires_grad=True)
    flags = torch.tensor([[1, 0, 1], [-1, -1, -1], [0, 0, 0]])
    loss = LEARNS.loss(answered(logits), {"labels": flags})
    expected = F.binary_cross_entropy_with_logits(logits[::2], flags[::2].float(), reduction="none").sum(dim=1)
    assert torch.allclose(loss[::2], expected)
    loss.sum().backward()
    assert loss[1] == 0
    assert torch.equal(logits.grad[1], torch.zeros(3))  # type: ignore[index]
    assert LEARNS.labelled({"labels": flags}).tolist() == [True, False, True]


def test_a_student_that_answers_as_the_teacher_has_nothing_to_learn_and_each_label_is_a_distribution_of_two() -> None:
    student, teacher = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    assert LEARNS.distillation_loss(answered(teacher), teacher, {}, 4.0).abs().max() < 1e-12
    pairs = [torch.stack([logits / 2.0, torch.zeros_like(logits)], dim=-1) for logits in (student, teacher)]
    two = F.kl_div(*(F.log_softmax(pair, dim=-1) for pair in pairs), log_target=True, reduction="none").sum(dim=(1, 2))
    assert torch.allclose(LEARNS.distillation_loss(answered(student), teacher, {}, 2.0), 4 * two)


@pytest.mark.parametrize(
    ("logits", "told"),
    [
        ([[3.0, -9.0, -9.0]] * 4, "gives 'a' to all 4 validation rows"),
        ([[-9.0, -9.0, -9.0]] * 4, "gives no label to all 4 validation rows"),
        ([[3.0, -9.0, -9.0], [-9.0, 3.0, -9.0]] * 2, ""),
    ],
)
def test_a_model_that_gives_all_rows_the_same_is_told(logits: list[list[float]], told: str) -> None:
    flags = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1]])
    sums = LEARNS.validation(answered(logits), {"labels": flags}).tolist()
    assert LEARNS.degenerate(sums, LABELS) == told


def test_a_saved_model_is_told_by_its_name_or_else_its_problem_type() -> None:
    head = ["BertForSequenceClassification"]
    for kind, name in (
        ("multi_label_classification", "multi-label-classification"),
        ("regression", "regression"),
        ("single_label_classification", "text-classification"),
        (None, "text-classification"),
    ):
        assert learning_of(BertConfig(architectures=head, problem_type=kind)).name == name
        ours = BertConfig(architectures=head, problem_type=kind, hone_task="regression")
        assert learning_of(ours).name == "regression"


def test_slices_are_the_texts_of_each_label_and_those_without() -> None:
    found = JUDGES.slices(np.array([[1, 0, 1], [0, 0, 0], [0, 0, 1]]), LABELS)
    assert {name: mask.tolist() for name, mask in found.items()} == {
        "label = a": [True, False, False],
        "label = b": [False, False, False],
        "label = c": [True, False, True],
        "labels = none": [False, True, False],
    }


def test_forms_agree_label_by_label_and_a_threshold_changes_no_difference() -> None:
    other = MARGINS + np.float32(0.01)
    found = JUDGES.compare(MARGINS, other, FLAGS)
    assert found.max_abs_difference == pytest.approx(0.01, abs=1e-6)
    assert found.agreement == pytest.approx(((MARGINS > 0) == (other > 0)).mean())
    assert JUDGES.compare(MARGINS, MARGINS[:, :2], FLAGS).agreement == 0.0


def test_answers_are_shown_by_the_names_of_their_labels() -> None:
    one, other = np.array([[1.0, -1.0, 2.0]], np.float32), np.array([[-1.0, -1.0, -1.0]], np.float32)
    (told,) = JUDGES.examples(np.array([[0, 1, 0]]), one, other, LABELS)
    assert (told["label"], told["candidate"], told["reference"]) == ("b", "a, c", "none")
    assert JUDGES.translate(one, ["c", "a", "z"], LABELS).tolist() == [[-1.0, -60.0, 1.0]]


def test_the_baseline_learns_each_label_and_its_threshold_and_bears_labels_that_all_or_none_have() -> None:
    texts = [f"{'good ' * (place % 2)}{'bad ' * (place % 3 == 0)}film {place % 7}" for place in range(60)]
    flags = np.array([[place % 2, place % 3 == 0, 0, 1] for place in range(60)], np.int64)
    fitted = JUDGES.baseline(Rows(texts, None, flags), [*LABELS, "d"])
    answers = fitted.answers(Rows(texts, None, flags))
    assert ((answers > 0) == (flags > 0)).all()
    assert answers.dtype == np.float32
    assert fitted.parameters > 0
    assert "good" in fitted.words
