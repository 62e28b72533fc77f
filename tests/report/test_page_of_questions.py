"""The report of a model that answers questions: by whether the context answers them, and what both models answer."""

import copy

import numpy as np
import pytest

from hone.tasks.objectives.judging import judging
from hone.tasks.objectives.question_answering.answering import END, SCORE, START, WIDTH
from hone.tasks.objectives.question_answering.targets import pack
from hone.tasks.report.examples import disagreements
from hone.tasks.report.page import render_page
from tests.report.test_page import outline, text_of

LABELS = ["answer", "no answer"]
PARTS = {
    "0": {"f1": 0.9, "exact_match": 0.8, "questions": 20.0, "without_answer": 1.0},
    "1": {"f1": 0.5, "exact_match": 0.5, "questions": 30.0, "without_answer": 15.0},
}
CONTEXT = "It sat in Rome."


@pytest.fixture
def asked(report):
    """The made-up run, had its models answered questions."""
    told = copy.deepcopy(report)
    told["recipe"]["task"] = "question-answering"
    told["data"]["labels"] = LABELS
    told["metrics"] = [
        {"name": "f1", "title": "F1", "better": "higher", "unit": "share"},
        {"name": "exact_match", "title": "exact match", "better": "higher", "unit": "share"},
    ]
    for candidate in told["candidates"]:
        candidate["metrics"] = {"f1": candidate["metrics"]["accuracy"], "exact_match": 0.5}
        candidate["confusion"], candidate["parts"] = [], PARTS
        if candidate["runtime"] == "sklearn":
            candidate["runtime"] = "overlap"
    for check in told["checks"]:
        check["name"] = check["name"].replace("accuracy", "f1")
    return told


def test_the_page_tells_both_kinds_of_questions_and_the_tasks_baseline(asked):
    html = render_page(asked)
    outline(html)
    found = text_of(html)
    assert "kind questions without an answer exact match F1 teacher's F1" in found
    assert found.index("no answer 30 15 50.00% 50.00% 50.00%") < found.index("answer 20 1 80.00% 90.00% 90.00%")
    assert "baseline (overlap)" in found
    assert "TF-IDF" not in found
    assert "answered with something that is not a number" not in found


def test_where_every_question_has_an_answer_there_is_one_kind(asked):
    for candidate in asked["candidates"]:
        candidate["parts"] = {}
    assert "answers 50.00% of them exactly" in text_of(render_page(asked))


@pytest.mark.parametrize(
    ("context", "true"), [(CONTEXT, "Rome"), ("sha256:1", "characters 11–14"), ("", "characters 11–14")]
)
def test_a_lost_question_shows_its_answers_as_far_as_the_report_may_show_texts(context, true):
    right, wrong = np.zeros((1, WIDTH), np.float32), np.zeros((1, WIDTH), np.float32)
    right[0, [START, END, SCORE]], wrong[0, [START, END, SCORE]] = (10, 14, 1), (0, 2, 1)
    targets = pack([CONTEXT], [[(10, 14)]])
    found = disagreements(
        judging("question-answering"), targets, wrong, right, texts=["Where?"], pairs=[context], label_names=LABELS
    )
    (lost,) = found["lost"]
    assert (lost["label"], lost["reference"]) == (true, true)
    assert lost["candidate"] == ("It" if context == CONTEXT else "characters 1–2")
