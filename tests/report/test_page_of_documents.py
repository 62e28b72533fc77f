"""The report of a language model: perplexities, what they are of, and what of the test split stands in training."""

import copy

import pytest

from hone.tasks.contracts import SharedText
from hone.tasks.report.page import render_page
from hone.tasks.report.summary import summary_rows
from tests.report.test_page import outline, text_of

METRICS = [
    {"name": "perplexity", "title": "perplexity", "better": "lower", "unit": ""},
    {"name": "bits_per_byte", "title": "bits per byte", "better": "lower", "unit": "bits"},
    {"name": "agreement", "title": "agreement with the teacher", "better": "higher", "unit": "share"},
]
SHARED = SharedText(length=13, runs=200, seen_runs=3, documents=40, seen_documents=2)


@pytest.fixture
def written(report):
    """The made-up run, had its models learned to write."""
    told = copy.deepcopy(report)
    told["recipe"]["task"] = "text-generation"
    told["data"]["labels"] = ["document"]
    told["data"]["shared_text"] = SHARED.model_dump() | {"told": SHARED.told}
    told["metrics"] = METRICS
    for candidate in told["candidates"]:
        candidate["metrics"] = {"perplexity": 12.25, "bits_per_byte": 0.912, "agreement": 0.875}
        candidate["confusion"], candidate["parts"] = [], {}
        if candidate["runtime"] == "sklearn":
            candidate["runtime"] = "n-grams"
            del candidate["metrics"]["agreement"]
    for check in told["checks"]:
        check["name"] = check["name"].replace("accuracy", "perplexity")
    row = {"row": 3, "text": "Once upon a time", "pair": None, "label": "16 bytes", "probability": 0.4}
    row |= {"reference": "perplexity 3.21", "candidate": "perplexity 9.87"}
    told["examples"] = {"lost": [row], "won": [], "lost_rows": 1, "won_rows": 0}
    return told


def test_the_page_says_what_a_perplexity_is_of_and_what_training_has_of_the_test(written):
    html = render_page(written)
    outline(html)
    found = text_of(html)
    assert "Perplexity is of the teacher's tokens, whatever a model's own are." in found
    assert "with at least half of them scored already" in found
    assert "2 of 40 test documents have 13 words in a row that training has (1.5% of all such runs)" in found
    assert "12.25" in found
    assert "0.912 bits" in found
    assert "87.50%" in found
    assert "baseline (n-grams)" in found
    assert "TF-IDF" not in found
    assert "16 bytes teacher: perplexity 3.21" in found
    assert "answered with something that is not a number" not in found


def test_the_terminal_has_the_perplexity_of_each_model_and_names_the_baseline(written):
    heads, rows = summary_rows(written)
    assert heads[1] == "perplexity"
    assert {row[1] for row in rows} == {"12.25"}
    assert rows[-1][0] == "baseline (n-grams)"
