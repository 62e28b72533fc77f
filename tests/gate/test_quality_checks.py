"""Quality is judged by the bounds of a difference: against the teacher, the champion and the baseline."""

import numpy as np
import pytest

from hone.tasks.contracts import Check
from hone.tasks.gate.advice import RowSource
from hone.tasks.gate.baseline import baseline_checks
from hone.tasks.gate.decision import decide
from hone.tasks.gate.quality import if_sound, quality_checks
from hone.tasks.objectives.judging import judging
from hone.tasks.objectives.text_classification.metrics import METRICS, statistics_of
from tests.gate.report_fixtures import NOTHING

LABELS = np.arange(4000) % 2
JUDGING = judging("text-classification")


def told(answers: np.ndarray) -> np.ndarray:
    """Statistics of label ids."""
    return statistics_of(LABELS[: len(answers)], answers, 2)


def wrong_on(rows: slice) -> np.ndarray:
    answers = LABELS.copy()
    answers[rows] = 1 - answers[rows]
    return answers


def judge(candidate: np.ndarray, other: np.ndarray, rows: RowSource | None = None, **settings) -> Check:
    asked = NOTHING.model_copy(update=settings)
    metrics = [METRICS[name] for name in asked.metrics or ["accuracy"]]
    found = quality_checks(told(candidate), {"teacher": told(other)}, metrics, asked, 0, rows)
    return decide(found, asked.level)[0]


def test_quality_passes_fails_or_stays_open_by_the_bound():
    teacher = wrong_on(slice(0, 200))
    good, bad, unsure = wrong_on(slice(10, 220)), wrong_on(slice(0, 500)), wrong_on(slice(0, 275))
    verdicts = [judge(one, teacher) for one in (good, bad, unsure)]
    assert [one.verdict for one in verdicts] == ["ACCEPTED", "REJECTED", "INCONCLUSIVE"]
    assert verdicts[2].rows == 4000


def test_what_is_open_says_what_to_set_and_asks_for_more_rows_than_there_are():
    split_off = RowSource(rows=400, total=4000, fraction=0.1)
    open_ = judge(wrong_on(slice(0, 6))[:400], LABELS[:400], split_off)
    assert open_.verdict == "INCONCLUSIVE"
    needed = int(open_.detail.split("about ")[1].split(" would")[0].replace(",", ""))
    assert needed > 400
    assert "400 rows can show a margin of" in open_.detail
    assert f"label more: {10 * needed:,} rows in all" in open_.detail or "set data.test_fraction: 0." in open_.detail
    assert "or set gate.margin: 0.0" in open_.detail
    given = judge(wrong_on(slice(0, 6))[:400], LABELS[:400], RowSource(rows=400, total=4000, fraction=None))
    assert f"give a test split of {needed:,} rows" in given.detail
    worse = judge(wrong_on(slice(0, 10))[:400], LABELS[:400], split_off)
    assert "measured beyond the margin" in worse.detail
    assert "test_fraction" not in worse.detail  # more rows do not make it a better model
    assert "more epochs" in worse.detail
    at_margin = judge(wrong_on(slice(0, 8))[:400], LABELS[:400], split_off)
    assert "measured on the margin itself" in at_margin.detail


def test_two_models_that_agree_on_a_few_rows_are_not_said_to_lie_on_the_margin():
    few = judge(LABELS[:20], LABELS[:20], RowSource(rows=20, total=130, fraction=0.15), margin=0.1)
    assert (few.verdict, few.value) == ("INCONCLUSIVE", 0.0)
    assert few.low < -0.1
    assert few.detail == (
        "20 rows can show a margin of 13.91 points at best; about 29 would show 10 with 80% chance: set "
        "data.test_fraction: 0.23, which is 0.15 now, or set gate.margin: 0.14, if so much may be lost"
    )


def test_every_metric_is_asked_against_every_other_model():
    metrics, same = [METRICS["accuracy"], METRICS["macro_f1"]], told(LABELS)
    found = decide(quality_checks(same, {"teacher": same, "champion": same}, metrics, NOTHING, 0), 0.05)
    assert [(one.name, one.subject) for one in found] == [
        ("accuracy_difference", "teacher"),
        ("macro_f1_difference", "teacher"),
        ("accuracy_difference", "champion"),
        ("macro_f1_difference", "champion"),
    ]


@pytest.mark.parametrize("missing", ["candidate", "other"])
def test_answers_that_are_not_there_or_no_numbers_fail(missing):
    logits = np.eye(2, dtype=np.float32)[LABELS]
    assert if_sound(JUDGING, JUDGING.statistics(logits, LABELS)) is not None
    logits[7, 1] = np.nan
    nan = if_sound(JUDGING, JUDGING.statistics(logits, LABELS))
    assert nan is if_sound(JUDGING, None) is None
    pair = {"candidate": told(LABELS), "other": told(LABELS), missing: nan}
    (found,) = quality_checks(pair["candidate"], {"teacher": pair["other"]}, [METRICS["accuracy"]], NOTHING, 0)
    assert (found.value, found.verdict) == (None, "REJECTED")


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_a_champion_that_answers_what_is_no_number_is_wrong_there_and_refuses_nobody(metric):
    logits = np.eye(2, dtype=np.float32)[LABELS]
    logits[:40] = np.nan
    candidate = told(wrong_on(slice(0, 20)))
    for answers in (logits, np.full((4000, 2), np.nan, np.float32)):
        before = JUDGING.statistics(answers, LABELS)
        (found,) = decide(quality_checks(candidate, {"champion": before}, [METRICS[metric]], NOTHING, 0), NOTHING.level)
        assert found.verdict == "ACCEPTED"
        assert found.value > 0


def against_baseline(candidate: np.ndarray, teacher: np.ndarray, baseline: np.ndarray) -> list[Check]:
    rows = RowSource(rows=len(candidate), total=10 * len(candidate), fraction=0.1)
    answers = (told(ids) for ids in (candidate, teacher, baseline))
    return decide(baseline_checks(*answers, METRICS["accuracy"], "TF-IDF", NOTHING, 0, rows), NOTHING.level)


def test_as_good_as_the_baseline_is_not_enough():
    baseline, teacher = wrong_on(slice(0, 400)), LABELS
    for candidate, verdict in (
        (baseline, "INCONCLUSIVE"),
        (wrong_on(slice(0, 300)), "ACCEPTED"),
        (wrong_on(slice(0, 500)), "REJECTED"),
    ):
        found = against_baseline(candidate, teacher, baseline)
        assert [one.verdict for one in found] == [verdict, "ACCEPTED"]
    assert "gate.beat_baseline: false" in against_baseline(baseline, teacher, baseline)[0].detail


def test_a_teacher_that_is_no_better_than_the_baseline_refuses_whatever_came_of_it():
    baseline = wrong_on(slice(0, 54))[:119]
    for teacher in (wrong_on(slice(0, 67))[:119], baseline):
        found = against_baseline(LABELS[:119], teacher, baseline)
        assert [(one.subject, one.verdict) for one in found] == [("", "ACCEPTED"), ("teacher", "REJECTED")]
        assert " and that of TF-IDF 54.62%, so being as good as the teacher shows nothing" in found[1].detail
        assert "gate.beat_baseline: false" in found[1].detail


def test_a_lead_over_the_baseline_that_is_not_shown_asks_for_more_rows_than_there_are():
    baseline, candidate = wrong_on(slice(40, 70))[:119], wrong_on(slice(0, 22))[:119]
    (open_, _) = against_baseline(candidate, LABELS[:119], baseline)
    assert open_.verdict == "INCONCLUSIVE"
    assert "119 rows do not tell the two apart" in open_.detail
    assert int(open_.detail.split("about ")[1].split(" would")[0].replace(",", "")) > 119
