"""From p values to a verdict: each demand at the level, refusals corrected for their number."""

import numpy as np
import pytest

from hone.tasks.contracts import Check, StageRecord, Verdict
from hone.tasks.gate.decision import Claim, decide, verdict_of
from hone.tasks.gate.exact import exact_p

ROWS, MARGIN = 300, 0.04
CHECKS = 12


def check(verdict: str, decides: bool = True) -> Check:
    return Check(name="x", verdict=verdict, value=0.0, threshold=0.0, direction="at_least", decides=decides)


def claim(p_met: float, p_missed: float, direction: str = "above") -> Claim:
    return Claim(
        check=Check(name="x", verdict="INCONCLUSIVE", value=0.0, threshold=0.0, direction=direction),
        p_met=p_met,
        p_missed=p_missed,
        low=lambda level: -1 - level,
        high=lambda level: 1 + level,
        told=lambda verdict, level: f"{verdict} {level:.4f}",
    )


def test_one_refusal_refuses_and_one_open_question_leaves_the_verdict_open() -> None:
    assert verdict_of([check("ACCEPTED"), check("INCONCLUSIVE")]) == "INCONCLUSIVE"
    assert verdict_of([check("INCONCLUSIVE"), check("REJECTED")]) == "REJECTED"
    assert verdict_of([check("ACCEPTED"), check("REJECTED", decides=False)]) == "ACCEPTED"


def test_each_demand_is_accepted_at_the_level_itself_however_many_there_are() -> None:
    assert {one.verdict for one in decide([claim(0.049, 0.9)] * 30, 0.05)} == {"ACCEPTED"}
    assert decide([claim(0.051, 0.9)], 0.05)[0].verdict == "INCONCLUSIVE"


def test_a_refusal_is_corrected_for_all_that_could_refuse() -> None:
    alone, among = decide([claim(0.9, 0.03)], 0.05), decide([claim(0.9, 0.03), *[claim(0.01, 0.9)] * 11], 0.05)
    assert (alone[0].verdict, among[0].verdict) == ("REJECTED", "INCONCLUSIVE")
    assert decide([claim(0.9, 0.004), *[claim(0.01, 0.9)] * 11], 0.05)[0].verdict == "REJECTED"
    # What no statistic decides is not counted.
    assert decide([claim(0.9, 0.03), *[check("ACCEPTED")] * 11], 0.05)[0].verdict == "REJECTED"


def test_each_bound_is_at_the_level_that_decides_by_it() -> None:
    found = decide([claim(0.9, 0.001), claim(0.9, 0.02), claim(0.01, 0.9), claim(0.2, 0.5, "at_most")], 0.04)
    assert [one.verdict for one in found] == ["REJECTED", "INCONCLUSIVE", "ACCEPTED", "INCONCLUSIVE"]
    # One of four is refused, and the rest stopped at the next step of Holm's: a third of the level.
    assert [one.refusal_level for one in found] == pytest.approx([0.01, 0.04 / 3, 0.04 / 3, 0.04 / 3])
    assert (found[1].low, found[1].high) == pytest.approx((-1.04, 1 + 0.04 / 3))
    assert (found[3].low, found[3].high) == pytest.approx((-1 - 0.04 / 3, 1.04))
    assert [one.detail for one in found[1:3]] == ["INCONCLUSIVE 0.0133", "ACCEPTED 0.0400"]


def p_values(won: float, lost: float, evaluations: int, checks: int) -> np.ndarray:
    """[met or missed, evaluations, checks]: of comparisons with these shares, each on rows of its own."""
    drawn = np.random.default_rng(3).multinomial(ROWS, [won, lost, 1 - won - lost], size=(evaluations, checks))
    wins, losses = drawn[..., 0], drawn[..., 1]
    met = np.vectorize(lambda a, b: exact_p(int(a), int(b), ROWS, MARGIN))(wins, losses)
    return np.stack([met, np.vectorize(lambda a, b: exact_p(int(b), int(a), ROWS, -MARGIN))(wins, losses)])


def verdicts(values: np.ndarray, level: float = 0.05) -> np.ndarray:
    return np.array(
        [
            verdict_of(decide([claim(a, b) for a, b in zip(met, missed, strict=True)], level))
            for met, missed in zip(*values, strict=True)
        ]
    )


AT_MARGIN, INSIDE = (0.01, 0.05), (0.03, 0.01)
"""Shares of rows that the candidate, and that the reference, alone has right."""


def test_over_twelve_checks_a_model_at_the_margin_of_each_is_refused_at_most_as_often_as_the_level() -> None:
    values = p_values(*AT_MARGIN, 600, CHECKS)
    assert (verdicts(values) == "REJECTED").mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)  # measured 0.03
    assert (values[1] <= 0.05).any(axis=1).mean() > 0.3  # without the correction


def test_a_model_at_the_margin_of_one_check_and_inside_eleven_is_accepted_at_most_as_often_as_the_level() -> None:
    at_margin, inside = p_values(*AT_MARGIN, 600, 1), p_values(*INSIDE, 600, CHECKS - 1)
    found = verdicts(np.concatenate([at_margin, inside], axis=2))
    assert 0 < (found == "ACCEPTED").mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)
    assert (verdicts(inside) == "ACCEPTED").mean() > 0.9


def test_a_verdict_names_the_checks_that_made_it_and_no_others() -> None:
    found = ["ACCEPTED", "REJECTED", "INCONCLUSIVE"]
    checks = [check(verdict).model_copy(update={"name": verdict.lower()}) for verdict in found]
    record = StageRecord(name="gate", status="ran", reason="first run of this stage", seconds=1.0)
    told = [Verdict(record=record, verdict=one, selected="pruned", checks=checks).headline() for one in found]
    assert told == ["ACCEPTED", "REJECTED: Rejected", "INCONCLUSIVE: Inconclusive"]


def test_a_verdict_calls_its_checks_as_the_report_does() -> None:
    record = StageRecord(name="gate", status="ran", reason="first run of this stage", seconds=1.0)
    named = {"accuracy_difference": "teacher, alone", "speedup": "", "slice": "length = 15–22 words"}
    checks = [
        check("REJECTED").model_copy(update={"name": name, "subject": subject}) for name, subject in named.items()
    ]
    assert Verdict(record=record, verdict="REJECTED", selected="pruned", checks=checks).headline() == (
        "REJECTED: Accuracy of one text at a time, against the teacher's; Speed-up over the best dense teacher; "
        "Slice length = 15–22 words"
    )
