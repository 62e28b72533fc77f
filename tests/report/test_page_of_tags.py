"""The report of a model that tags words: by entities and their types, against the baseline of its task."""

import copy

import numpy as np
import pytest

from hone.tasks.objectives.judging import judging
from hone.tasks.objectives.ragged import Ragged
from hone.tasks.report.examples import disagreements
from hone.tasks.report.page import parts_of, render_page
from hone.tasks.report.plots import learning_curves, quality_against_latency
from hone.tasks.report.summary import summary_markdown, summary_rows
from hone.tasks.report.waterfall import waterfall
from hone.tasks.report.wording import main_metrics
from tests.report.test_page import outline, text_of

LABELS = ["O", "B-person", "I-person", "B-place", "I-place"]
PARTS = {
    "1": {"f1": 0.5, "precision": 0.4, "recall": 2 / 3, "entities": 3.0},
    "3": {"f1": 0.9, "precision": 0.9, "recall": 0.9, "entities": 20.0},
}


@pytest.fixture
def tagged(report):
    """The made-up run, had its models tagged words."""
    told = copy.deepcopy(report)
    told["recipe"]["task"] = "token-classification"
    told["data"]["labels"] = LABELS
    told["metrics"] = [{"name": "f1", "title": "entity F1", "better": "higher", "unit": "share"}]
    for candidate in told["candidates"]:
        candidate["metrics"] = {"f1": candidate["metrics"]["accuracy"], "macro_f1": 0.5}
        candidate["confusion"], candidate["parts"] = [], PARTS
        if candidate["runtime"] == "sklearn":
            candidate["runtime"] = "lookup"
    for check in told["checks"]:
        check["name"] = check["name"].replace("accuracy", "f1")
    for curves in told["curves"].values():
        for curve in curves:
            curve["name"] = curve["name"].replace("accuracy", "f1")
    return told


def test_the_page_tells_types_and_the_baseline_of_the_task_and_nothing_of_labels(tagged):
    html = render_page(tagged)
    outline(html)
    found = text_of(html)
    assert "type entities precision recall F1 teacher's F1" in found
    assert found.index("place 20 90.00% 90.00% 90.00% 90.00%") < found.index("person 3 40.00% 66.67% 50.00% 50.00%")
    assert "text true entities teacher quantized its probability" in found
    assert "tags O, B-person, I-person, B-place, I-place" in found
    assert "baseline (lookup)" in found
    assert "TF-IDF" not in found
    assert "ccuracy" not in found[: found.index("min_accuracy")]  # which is the recipe's
    assert "answered with something that is not a number" not in found
    assert "Entity F1 against latency" in html
    assert "validation entity F1, %" in "".join(learning_curves(tagged).values())


def test_the_table_holds_the_tasks_metric(tagged):
    heads, rows = summary_rows(tagged)
    assert heads[1] == "entity F1"
    floor = next(row for row in rows if row[0] == "baseline (lookup)")
    assert floor[3] == "–"
    assert "entity F1" in summary_markdown(tagged)
    assert "baseline (lookup)" in quality_against_latency(tagged)


def test_precision_and_recall_stand_beside_entity_f1_and_no_calibration(tagged, report):
    for candidate in tagged["candidates"]:
        candidate["metrics"] |= {"precision": 0.25, "recall": 0.75, "calibration_error": 0.1}
    assert [metric["name"] for metric in main_metrics(tagged)] == ["f1", "precision", "recall"]
    assert "model entity F1 precision recall parameters" in text_of(render_page(tagged))
    assert [metric["name"] for metric in main_metrics(report)] == ["accuracy", "macro_f1", "calibration_error"]


def test_pictures_are_called_after_the_tasks_metric(tagged):
    (title, drawn), *_others = waterfall(tagged).items()
    assert title == "Entity F1, %"
    assert "Entity F1 of every stage" in drawn
    assert "ccuracy" not in drawn


def test_a_report_without_parts_tells_none(report):
    assert parts_of(report["candidates"][0], report["candidates"][1], ["no", "yes"]) == []


@pytest.mark.parametrize(
    ("texts", "true"),
    [
        (["Ann left", "in Rome"], "Rome (place)"),
        (["sha256:1", "sha256:2"], "word 2 (place)"),
        (["", ""], "word 2 (place)"),
    ],
)
def test_a_lost_sentence_shows_its_entities_as_far_as_the_report_may_show_texts(texts, true):
    targets = Ragged(np.array([1, 0, 0, 3]), np.array([0, 2, 4]))
    right = Ragged(np.eye(5, dtype=np.float32)[targets.values] * 4, targets.offsets)
    wrong = Ragged(np.eye(5, dtype=np.float32)[[1, 0, 0, 0]] * 4, targets.offsets)
    found = disagreements(
        judging("token-classification"), targets, wrong, right, texts=texts, pairs=None, label_names=LABELS
    )
    (lost,) = found["lost"]
    assert (lost["row"], lost["label"], lost["reference"], lost["candidate"]) == (1, true, true, "none")
    assert found["won"] == []
