"""Speed is judged by the bounds of its intervals, and on an idle machine alone."""

import numpy as np
import pytest

from hone.tasks.contracts import Check
from hone.tasks.gate.checks import speed_checks
from hone.tasks.gate.decision import decide, verdict_of
from tests.gate.report_fixtures import GOOD, NOTHING, candidate, report


def rounds(milliseconds: float, spread: float = 0.01, count: int = 3) -> list[list[list[float]]]:
    rng = np.random.default_rng(round(1000 * milliseconds))
    return [[(milliseconds * np.exp(rng.normal(0, spread) + rng.normal(0, 0.02, 60))).tolist() for _ in range(count)]]


def speed(candidate_ms: float, min_speedup: float | None, spread: float = 0.01, **settings) -> Check:
    asked = NOTHING.model_copy(update={"min_speedup": min_speedup, **settings})
    return decide(
        speed_checks(asked, GOOD, rounds(candidate_ms, spread), rounds(10.0, spread), ["1x16"], seed=0), asked.level
    )[0]


def test_the_speedup_counts_by_the_lower_end_of_its_interval():
    passed, failed = speed(2.0, 4.0), speed(2.0, 6.0)
    assert (passed.verdict, failed.verdict) == ("ACCEPTED", "REJECTED")
    assert passed.low < passed.value < passed.high
    assert passed.value == pytest.approx(5.0, rel=0.05)


def test_noise_too_large_for_the_threshold_is_inconclusive():
    threshold = speed(2.0, 1.0, spread=0.4).value
    noisy = speed(2.0, threshold, spread=0.4)
    assert noisy.verdict == "INCONCLUSIVE"
    assert noisy.low < threshold < noisy.high


def test_an_open_speed_up_says_how_many_rounds_would_settle_it() -> None:
    unsure = speed(2.0, 4.3, spread=0.1)
    assert unsure.verdict == "INCONCLUSIVE"
    more = int(unsure.detail.split("set evaluate.rounds: ")[1].split()[0])
    assert 3 < more <= 100
    assert "with 80% chance" in unsure.detail


def test_one_round_of_timing_decides_nothing_however_fast_the_model() -> None:
    (one,) = speed_checks(NOTHING, GOOD, rounds(1.0, count=1), rounds(10.0, count=1), ["1x16"], seed=0)
    assert (one.verdict, one.low, one.high) == ("INCONCLUSIVE", 0.0, None)
    assert "evaluate.rounds: at least 2" in one.detail


def test_speed_on_a_busy_machine_is_no_evidence_either_way() -> None:
    asked = NOTHING.model_copy(update={"min_speedup": 2.0, "max_p95_ms": 5.0, "p95_cell": "1x16"})
    for load, verdicts in ((0.86, ["INCONCLUSIVE"] * 2), (0.2, ["ACCEPTED"] * 2), (None, ["ACCEPTED"] * 2)):
        busy = GOOD.model_copy(update={"machine": {"background_load": load}})
        found = decide(speed_checks(asked, busy, rounds(2.0), rounds(10.0), ["1x16"], seed=0), asked.level)
        assert [one.verdict for one in found] == verdicts
        if load == 0.86:
            assert "other processes took 86% of the machine" in found[0].detail
            assert "gate.max_background_load: 0.2" in found[0].detail


def test_a_model_slower_than_the_dense_one_is_refused_though_no_speedup_is_asked():
    assert speed(12.0, None).verdict == "REJECTED"
    assert speed(12.0, None).threshold == 1.0
    assert speed(8.0, None).verdict == "ACCEPTED"


def test_a_model_that_was_not_timed_is_refused():
    (missing,) = speed_checks(NOTHING, GOOD, [], rounds(10.0), ["1x16"], seed=0)
    assert (missing.value, missing.verdict) == (None, "REJECTED")


def test_the_dense_teacher_itself_is_as_fast_as_itself():
    same = report(candidate("teacher", 0.9), selected="teacher")
    assert speed_checks(NOTHING, same, [], [], ["1x16"], seed=0)[0].verdict == "ACCEPTED"
    asked = NOTHING.model_copy(update={"min_speedup": 1.5})
    assert speed_checks(asked, same, [], [], ["1x16"], seed=0)[0].verdict == "REJECTED"


def per_core(candidate_ms: float, least: float | None) -> list[Check]:
    asked = NOTHING.model_copy(update={"min_speedup_per_core": least})
    alone = (rounds(candidate_ms), rounds(10.0))
    found = speed_checks(asked, GOOD, rounds(5.0), rounds(10.0), ["1x16"], seed=0, one_thread=alone)
    return decide(found, asked.level)


def test_the_speedup_with_one_thread_each_may_be_demanded_by_its_own_interval():
    latency, refused = per_core(2.0, 6.0)
    assert (latency.name, latency.verdict) == ("speedup", "ACCEPTED")
    assert (refused.name, refused.verdict, refused.decides) == ("speedup_per_core", "REJECTED", True)
    assert refused.value == pytest.approx(5.0, rel=0.05)
    assert per_core(2.0, 4.0)[1].verdict == "ACCEPTED"
    missing = NOTHING.model_copy(update={"min_speedup_per_core": 4.0})
    assert speed_checks(missing, GOOD, rounds(5.0), rounds(10.0), ["1x16"], seed=0)[1].verdict == "REJECTED"


def test_it_is_told_with_its_interval_where_nobody_asks_for_it():
    told = per_core(20.0, None)[1]
    assert told.low < told.value < told.high
    assert not told.decides
    assert verdict_of(per_core(20.0, None)) == "ACCEPTED"


def test_a_p95_is_asked_of_its_cell_by_the_upper_end_of_its_interval():
    asked = NOTHING.model_copy(update={"max_p95_ms": 3.0, "p95_cell": "1x32"})
    cells = rounds(9.0) + rounds(2.0)
    p95 = decide(speed_checks(asked, GOOD, cells, rounds(10.0) * 2, ["1x16", "1x32"], seed=0), asked.level)[1]
    assert (p95.name, p95.subject, p95.verdict) == ("p95", "1×32", "ACCEPTED")
    assert 2.0 < p95.value < 2.3
