"""The report of models that give texts several labels, or a number."""

import copy
from html import unescape

import numpy as np
import pytest

from hone.tasks.objectives.judging import judging
from hone.tasks.report import wording
from hone.tasks.report.examples import disagreements
from hone.tasks.report.page import render_page
from hone.tasks.report.plots import learning_curves
from hone.tasks.report.summary import summary_rows
from tests.report.test_page import outline, text_of

MSE = {"name": "mse", "title": "mean squared error", "better": "lower", "unit": ""}
MICRO = {"name": "micro_f1", "title": "micro F1", "better": "higher", "unit": "share"}
PARTS = {
    "0": {"f1": 0.5, "precision": 0.4, "recall": 2 / 3, "texts": 3.0},
    "1": {"f1": 0.9, "precision": 0.9, "recall": 0.9, "texts": 20.0},
}


def told_as(report, kind, metric, value):
    """The made-up run, had its texts had several labels, or numbers."""
    told = copy.deepcopy(report)
    told["recipe"]["data"]["labels"] = kind
    told["metrics"] = [metric]
    for candidate in told["candidates"]:
        candidate["metrics"] = {metric["name"]: value(candidate["metrics"]["accuracy"])}
        candidate["confusion"], candidate["parts"] = [], PARTS if kind == "several" else {}
    for check in [*told["checks"], *told["slices"]]:
        check["name"] = check["name"].replace("accuracy", metric["name"])
        if check["unit"] == "points" and kind == "number":
            check["unit"] = "relative"
    curve = "r2" if kind == "number" else metric["name"]
    for curves in told["curves"].values():
        for one in curves:
            one["name"] = one["name"].replace("accuracy", curve)
    return told


def test_slices_of_a_metric_without_a_unit_are_told_as_they_are(report):
    for check in report["slices"]:
        check.update(value=-0.0421, unit="", threshold=-0.05)
    found = text_of(render_page(report))
    assert "less the teacher's, on parts of the test split; each no more than 0.05 below is asked" in unescape(found)
    assert "−0.0421" in found
    assert "−4.21" not in found


def test_the_page_of_several_labels_tells_each_of_them(report):
    told = told_as(report, "several", MICRO, lambda accuracy: accuracy)
    html = render_page(told)
    outline(html)
    found = unescape(text_of(html))
    assert "label texts precision recall F1 teacher's F1" in found
    assert found.index("20 90.00% 90.00% 90.00% 90.00%") < found.index("3 40.00% 66.67% 50.00% 50.00%")
    assert "A label is given above the model's own threshold, which was chosen on the validation split" in found
    assert "Micro F1 against the teacher's" in found
    assert "The teacher is nearer than" in found
    assert "validation micro F1, %" in "".join(learning_curves(told).values())


def test_the_page_of_numbers_tells_errors_and_nothing_of_labels_or_chances(report):
    told = told_as(report, "number", MSE, lambda accuracy: 1 - accuracy)
    html = render_page(told)
    outline(html)
    found = unescape(text_of(html))
    assert "A number is neither right nor wrong" in found
    assert "its probability" not in found
    assert "true number" in found
    assert "better than the teacher's, in % of that" in found
    assert "% worse is asked" in found
    assert "answered with something that is not a number" not in found
    assert "validation R²" in "".join(learning_curves(told).values())
    heads, _rows = summary_rows(told)
    assert heads[1] == "mean squared error"


@pytest.mark.parametrize(
    ("value", "metric", "told"), [(-0.0042, MICRO, "−0.42"), (0.0123, MSE, "+0.0123"), (-1.5, MSE, "−1.5")]
)
def test_a_difference_is_in_points_of_a_share_and_else_in_its_own_unit(value, metric, told):
    assert wording.apart(value, metric) == told


def test_rows_that_only_the_teacher_has_right_are_shown_by_their_labels_or_numbers():
    flags = np.array([[1, 0], [0, 1]])
    teacher, model = np.array([[1, -1], [-1, 1]], np.float32), np.array([[1, -1], [1, -1]], np.float32)
    several = judging("multi-label-classification")
    found = disagreements(several, flags, model, teacher, texts=["a", "b"], pairs=None, label_names=["x", "y"])
    assert [(row["row"], row["label"], row["reference"], row["candidate"]) for row in found["lost"]] == [
        (1, "y", "y", "x")
    ]
    numbers = judging("regression")
    pair = (np.array([[1.5], [2.0]], np.float32), np.array([[1.0], [2.5]], np.float32))
    found = disagreements(numbers, np.array([1.0, 2.0]), *pair, texts=["a", "b"], pairs=None, label_names=["score"])
    assert [(row["row"], row["label"], row["reference"], row["candidate"]) for row in found["lost"]] == [
        (0, "1", "1", "1.5")
    ]
    assert [row["row"] for row in found["won"]] == [1]
