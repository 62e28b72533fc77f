"""Questions are judged by their answers' words, as the gate, the evidence and the report have them."""

from pathlib import Path

import numpy as np
import pytest

from hone.configs.delivery import EvaluateSettings, GateSettings
from hone.tasks import evidence
from hone.tasks.gate.quality import if_sound, quality_checks
from hone.tasks.model.text import Rows
from hone.tasks.objectives.judging import compared, judging
from hone.tasks.objectives.question_answering import baseline
from hone.tasks.objectives.question_answering.answering import END, NULL, SCORE, START, WIDTH
from hone.tasks.objectives.question_answering.targets import pack, unpack

JUDGING = judging("question-answering")
CONTEXTS = ["The black cat sat.", "It is the 1,000th day.", "Nobody knows \U0001f600."]
SPANS: list[list[tuple[int, int]]] = [[(4, 13), (0, 13)], [(10, 16)], []]
ROWS = Rows(["What sat?", "which day is it", "How many"], CONTEXTS, np.array([0, 0, 1]), spans=SPANS)
TARGETS = JUDGING.targets(ROWS)


def answers(*spans: tuple[int, int]) -> np.ndarray:
    """Of spans with a sum of 2, of none with no answer's above it."""
    found = np.zeros((len(spans), WIDTH), np.float32)
    for row, (start, end) in enumerate(spans):
        found[row, [START, END, SCORE, NULL]] = start, end, 2, 3 if end == 0 else 0
    return found


def test_targets_come_back_as_they_were_packed() -> None:
    found = list(unpack(pack(CONTEXTS, SPANS)))
    assert [one.context for one in found] == CONTEXTS
    assert [one.spans for one in found] == SPANS
    assert found[0].answers == ["black cat", "The black cat"]
    assert [one.context for one in unpack(TARGETS[[2, 0]])] == [CONTEXTS[2], CONTEXTS[0]]


def test_statistics_are_the_scripts_counts_of_each_question() -> None:
    found = JUDGING.statistics(answers((0, 9), (10, 18), (0, 0)), TARGETS)
    assert found[:, 0].tolist() == [0, 0, 1]  # `The black`, `1,000th`, none
    assert found[:, 1] == pytest.approx([2 / 3, 0, 1])
    assert JUDGING.metrics["f1"].of(found) == pytest.approx((2 / 3 + 1) / 3)
    assert JUDGING.metrics["exact_match"].of(found) == pytest.approx(1 / 3)
    assert not JUDGING.unanswered(found).any()


def test_the_score_tells_the_kinds_of_questions_apart() -> None:
    score = JUDGING.score(answers((4, 13), (0, 0), (0, 6)), TARGETS, EvaluateSettings())
    assert score.metrics == {"f1": pytest.approx(1 / 3), "exact_match": pytest.approx(1 / 3)}
    assert score.parts == {
        0: {"f1": 0.5, "exact_match": 0.5, "questions": 2, "without_answer": 1},
        1: {"f1": 0.0, "exact_match": 0.0, "questions": 1, "without_answer": 0},
    }
    broken = answers((4, 13), (0, 0), (0, 6))
    broken[1, SCORE] = np.nan
    assert JUDGING.score(broken, TARGETS, EvaluateSettings()).metrics == {"nonfinite_rows": 1.0}


def test_slices_are_kinds_of_questions_and_the_words_that_ask() -> None:
    found = JUDGING.slices(TARGETS, ["answer", "no answer"], ROWS)
    assert {name: mask.tolist() for name, mask in found.items()} == {
        "question = answer": [True, True, False],
        "question = no answer": [False, False, True],
        "asks = what": [True, False, False],
        "asks = which": [False, True, False],
        "asks = how": [False, False, True],
    }
    assert JUDGING.slices(TARGETS[[0, 1]], ["answer", "no answer"]) == {}


def test_forms_are_compared_by_their_sums_and_by_what_they_answer() -> None:
    before, after = answers((4, 13), (0, 0), (0, 6)), answers((4, 13), (10, 16), (0, 6))
    same = JUDGING.compare(before, before, TARGETS)
    assert (same.max_abs_difference, same.rms_share, same.agreement, same.accuracy_difference) == (0, 0, 1, 0)
    other = JUDGING.compare(before, after, TARGETS)
    assert (other.max_abs_difference, other.agreement) == (3, pytest.approx(2 / 3))
    assert other.accuracy_difference == pytest.approx(1 / 3)
    after[0, SCORE] = np.inf
    assert JUDGING.compare(before, after, TARGETS).max_abs_difference == float("inf")


def test_the_gate_pairs_models_by_question(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    many = [draw.integers(0, 3) for _ in range(400)]
    rows = ROWS.pick([int(place) for place in many])
    right = [(SPANS[place] or [(0, 0)])[0] for place in many]
    worse = [span if draw.random() > 0.2 else (0, 3) for span in right]
    given = {"good": answers(*right), "worse": answers(*worse)}
    evidence.save(tmp_path, JUDGING.targets(rows), given, {})
    targets = evidence.read_labels(tmp_path)
    metrics = compared(JUDGING, [])
    assert [metric.name for metric in metrics] == ["f1"]
    settings = GateSettings(margin=0.05, resamples=1000)

    def verdict(candidate: str) -> str:
        good, other = (
            if_sound(JUDGING, JUDGING.statistics(evidence.read_logits(tmp_path, name), targets))
            for name in ("good", candidate)
        )
        (check,) = quality_checks(other, {"teacher": good}, metrics, settings, 0)
        return "kept" if check.p_met < 0.05 else "lost" if check.p_missed < 0.05 else "open"

    assert (verdict("good"), verdict("worse")) == ("kept", "lost")


def test_examples_are_in_words_or_where_texts_are_hidden_by_their_characters() -> None:
    given = answers((4, 13), (0, 0), (0, 6))
    shown = JUDGING.examples(TARGETS, given, answers((0, 9), (10, 16), (0, 0)), ["answer", "no answer"], CONTEXTS)
    assert [(one["label"], one["reference"], one["candidate"]) for one in shown] == [
        ("black cat or The black cat", "The black", "black cat"),
        ("1,000t", "1,000t", "none"),
        ("none", "none", "Nobody"),
    ]
    for texts in ([], ["", "", ""], ["sha256:1", "sha256:2", "sha256:3"]):
        hidden = JUDGING.examples(TARGETS, given, given, ["answer", "no answer"], texts)
        assert [one["candidate"] for one in hidden] == ["characters 5–13", "none", "characters 1–6"]
        assert hidden[0]["label"] == "characters 5–13 or characters 1–13"


def test_the_baseline_is_the_sentence_that_shares_most_with_the_question() -> None:
    context = "Cats sleep. The dog, v. 2.5, barks at night.\n  Who knows "
    assert [context[a:b] for a, b in baseline.sentences(context)] == [
        "Cats sleep.", "The dog, v.", "2.5, barks at night.", "Who knows"
    ]  # fmt: skip
    asked, contexts = (
        ["when do dogs bark", "when do cats sleep", "what is it"],
        [context, "Cats sleep. We do not.", "No."],
    )
    train = Rows(asked, contexts, np.array([0, 0, 1]), spans=[[(24, 44)], [(0, 11)], []])
    fitted = JUDGING.baseline(train, [])
    found = fitted.answers(train)
    assert JUDGING.statistics(found, JUDGING.targets(train))[2].tolist()[:2] == [1, 1]
    assert fitted.parameters == len(fitted.words) + 1
    assert fitted.words[0] == "2"
