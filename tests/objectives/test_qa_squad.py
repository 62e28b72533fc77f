"""Answers are counted, and a threshold is chosen, as SQuAD's own script does: its copy in transformers 4 is asked."""

import importlib.util
import logging
import random
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hone.tasks.objectives.question_answering import squad
from hone.tasks.objectives.question_answering.threshold import best_threshold
from tests.export import optimum_environment

WORDS = ["The", "a", "cat", "Cat.", "(cat)", "cat's", "1,000", "1000", "an", "\u00e9t\u00e9", "-", "the-end", "  "]
ABOVE = ("script", "script.models", "script.models.bert", "script.utils", "script.data", "script.data.metrics")
"""What the script's copy imports from the rest of transformers, and never uses for its counts."""


@pytest.fixture(scope="module")
def script() -> Any:
    """`evaluate-v2.0.py` as transformers 4 has it, without the rest of that."""
    place = optimum_environment.python().parents[1]
    (file,) = place.glob("lib/python*/site-packages/transformers/data/metrics/squad_metrics.py")
    for name in ABOVE:
        sys.modules[name] = ModuleType(name)
    sys.modules["script.models.bert"].BasicTokenizer = None  # type: ignore[attr-defined]
    sys.modules["script.utils"].logging = SimpleNamespace(get_logger=logging.getLogger)  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("script.data.metrics.squad_metrics", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ABOVE:
        del sys.modules[name]
    return module


def drawn() -> tuple[list[tuple[str, list[str]]], list[tuple[list[float], list[float], list[bool]]]]:
    """Answers with true ones, and margins of no answer with scores of answers and whether there is one."""
    draw = random.Random(0)

    def text() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(0, 5)))

    cases = [(text(), [text() for _ in range(draw.randint(0, 3))]) for _ in range(400)]
    thresholds = []
    for _ in range(60):
        count = draw.randint(1, 12)
        has = [draw.random() < 0.5 for _ in range(count)]
        scores = [draw.randint(0, 4) / 4 if there else 0.0 for there in has]
        thresholds.append(([draw.gauss(0, 3) for _ in range(count)], scores, has))
    return cases, thresholds


def test_exact_match_and_f1_are_those_of_the_script(script: Any) -> None:
    cases, _thresholds = drawn()
    true = [
        SimpleNamespace(qas_id=row, answers=[{"text": text} for text in texts]) for row, (_, texts) in enumerate(cases)
    ]
    exact, f1 = script.get_raw_scores(true, {row: answer for row, (answer, _) in enumerate(cases)})
    assert [squad.exact_match(answer, texts) for answer, texts in cases] == list(exact.values())
    assert [squad.f1(answer, texts) for answer, texts in cases] == list(f1.values())
    assert sum(0 < one < 1 for one in f1.values()) > 20
    assert 20 < sum(exact.values()) < 380


def test_the_best_threshold_scores_what_the_script_finds(script: Any) -> None:
    for margins, scores, has in drawn()[1]:
        by_row = [dict(enumerate(one)) for one in (["x"] * len(has), scores, margins, has)]
        theirs, _where = script.find_best_thresh(*by_row)
        answered, silent = np.array(scores), 1.0 - np.array(has)
        threshold, score = best_threshold(np.array(margins), answered, silent)
        assert score == pytest.approx(theirs / 100)
        assert np.where(np.array(margins) > threshold, silent, answered).mean() == pytest.approx(score)


def test_equal_margins_are_not_parted() -> None:
    margins, answered, silent = np.array([1.0, 1.0, 3.0]), np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 1.0])
    threshold, score = best_threshold(margins, answered, silent)
    assert (threshold, score) == (0.0, pytest.approx(2 / 3))
    assert best_threshold(margins, silent, answered) == (4.0, pytest.approx(2 / 3))


def test_worked_by_hand() -> None:
    assert squad.normalize("The  cat's (1,000) an") == "cats 1000"
    assert squad.exact_match("the Cat.", ["a dog", "cat"]) == 1
    assert squad.f1("big black cat", ["the cat", "black cat sat"]) == pytest.approx(2 / 3)
    assert (squad.f1("", []), squad.f1("cat", []), squad.f1("", ["cat"])) == (1, 0, 0)
