"""Two runs side by side: what differs, by how much, and what keeps the numbers from meaning the same."""

import copy
from typing import Any

import pytest

from hone.tasks.report.compare import Comparison, Number, compare

Report = dict[str, Any]


@pytest.fixture
def other(report: Report) -> Report:
    """A second run of the same recipe, to be changed."""
    return copy.deepcopy(report)


def selected(report: Report) -> Report:
    found: Report = next(one for one in report["candidates"] if one["name"] == report["selected"])
    return found


def number(found: Comparison, name: str, cell: str = "") -> Number:
    return next(one for one in found.numbers if (one.name, one.cell) == (name, cell))


def test_a_run_held_against_itself_differs_in_nothing(report: Report, other: Report) -> None:
    found = compare(report, other)
    assert (found.settings, found.cautions) == ([], [])
    assert [fact.name for fact in found.verdicts] == ["verdict", "selected"]
    assert {stage.same_result for stage in found.stages} == {True}
    assert {one.difference for one in found.numbers} == {0.0}


def test_settings_that_differ_are_named_by_their_key_whatever_their_depth(report: Report, other: Report) -> None:
    other["recipe"]["prune"]["epochs"] = 9
    other["recipe"]["gate"]["metrics"] = ["accuracy", "macro_f1"]
    del other["recipe"]["seed"]  # a Hone that has no such setting
    found = {fact.name: (fact.first, fact.second) for fact in compare(report, other).settings}
    assert found == {
        "seed": (3, None),
        "prune.epochs": (report["recipe"]["prune"]["epochs"], 9),
        "gate.metrics": ([], ["accuracy", "macro_f1"]),
    }


def test_a_credential_in_a_setting_is_masked(report: Report, other: Report) -> None:
    other["recipe"]["compute"]["storage"] = "s3://ana:hunter22@team/hone"
    assert compare(report, other).settings[0].second == "s3://***@team/hone"


def test_shares_differ_in_points_and_sizes_and_times_by_a_factor(report: Report, other: Report) -> None:
    chosen = selected(other)
    chosen["metrics"]["accuracy"] = 0.87  # of 0.885
    chosen["size_bytes"] = 5_800_000  # of 11.6 MB
    chosen["speedup"] = 0.0  # nobody measured it
    chosen["latency"] = [cell | {"p50_ms": 2 * cell["p50_ms"]} for cell in chosen["latency"][:2]]
    found = compare(report, other)
    accuracy, size = number(found, "accuracy"), number(found, "size_bytes")
    assert accuracy.difference == pytest.approx(-0.015)
    assert (accuracy.unit, accuracy.ratio) == ("share", None)
    assert (size.unit, size.ratio) == ("bytes", 0.5)
    assert (number(found, "speedup").second, number(found, "speedup").ratio) == (None, None)
    assert number(found, "p50_ms", "1x32").ratio == 2
    assert (number(found, "p50_ms", "32x32").second, number(found, "p50_ms", "32x32").ratio) == (None, None)


def test_a_metric_that_is_no_share_is_compared_as_it_is(report: Report, other: Report) -> None:
    selected(report)["metrics"]["nonfinite_rows"] = 4.0
    selected(other)["metrics"]["nonfinite_rows"] = 1.0
    rows = number(compare(report, other), "nonfinite_rows")
    assert (rows.unit, rows.difference, rows.ratio) == ("", -3.0, 0.25)


def test_another_verdict_comes_with_the_checks_that_changed(
    report: Report, inconclusive: Report, other: Report
) -> None:
    other["verdict"] = "ACCEPTED"
    check = next(one for one in other["checks"] if one["name"] == "accuracy_difference")
    check["verdict"] = "ACCEPTED"
    found = {fact.name: (fact.first, fact.second) for fact in compare(inconclusive, other).verdicts}
    assert found == {
        "verdict": ("INCONCLUSIVE", "ACCEPTED"),
        "selected": ("quantized", "quantized"),
        "Accuracy against the teacher's": ("INCONCLUSIVE", "ACCEPTED"),
    }


def test_stages_tell_whether_they_ran_and_whether_they_made_the_same(report: Report, other: Report) -> None:
    other["stages"][1] |= {"status": "cached", "seconds": 0.1}
    other["stages"][2]["digest"] = "sha256:another"
    other["stages"].insert(1, {**other["stages"][0], "name": "drift", "digest": ""})
    found = {stage.name: stage for stage in compare(report, other).stages}
    assert (found["train"].first, found["train"].second, found["train"].same_result) == ("ran", "cached", True)
    assert found["distill"].same_result is False
    assert (found["drift"].first, found["drift"].second, found["drift"].same_result) == ("", "ran", None)


@pytest.mark.parametrize(
    ("section", "change", "told"),
    [
        ("data", {"digest": "sha256:other"}, "the prepared data are not the same"),
        ("machine", {"cores": 64}, "the machines are not the same"),
        ("machine", {"versions": {"torch": "2.14.0"}}, "the libraries are not the same: torch 2.13.0 and 2.14.0"),
        ("machine", {"background_load": 0.3}, "other processes took 2% and 30% of the machine"),
    ],
)
def test_what_keeps_numbers_from_meaning_the_same_is_told(
    report: Report, other: Report, section: str, change: Report, told: str
) -> None:
    other[section] |= change
    (caution,) = compare(report, other).cautions
    assert caution.startswith(told)
