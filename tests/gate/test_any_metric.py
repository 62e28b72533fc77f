"""The gate knows no task: a metric that is no share, where lower is better and margins are relative, goes the same
ways."""

import numpy as np
import pytest

from hone.configs.delivery import GateSettings
from hone.tasks.contracts import MeasuredMetric
from hone.tasks.gate.advice import RowSource
from hone.tasks.gate.baseline import baseline_checks
from hone.tasks.gate.checks import exact_checks
from hone.tasks.gate.decision import decide
from hone.tasks.gate.paired import paired_difference
from hone.tasks.gate.quality import quality_checks
from hone.tasks.gate.slices import slice_checks
from hone.tasks.objectives.metric import Metric
from tests.gate.report_fixtures import candidate, report
from tests.gate.toy_task import RMSE, statistics

SETTINGS = GateSettings(margin=0.1, slice_margin=0.2, resamples=500, max_size_fraction=None)
ROWS = RowSource(rows=600, total=6000, fraction=0.1)
ERRORS = np.random.default_rng(0).normal(size=600)
LARGER = np.where(np.arange(600) < 200, 1.6, 1.0)


def test_a_relative_gain_is_a_part_of_the_references_value_and_worse_is_negative() -> None:
    worse, better = (paired_difference(statistics(scale * ERRORS), statistics(ERRORS), RMSE, resamples=200, seed=0)
                     for scale in (1.25, 0.5))  # fmt: skip
    assert worse.value == pytest.approx(-0.25)
    assert better.value == pytest.approx(0.5)
    assert (worse.won, worse.lost, better.won, better.lost) == (0, 600, 600, 0)
    assert worse.low(0.05) <= worse.value <= worse.high(0.05)


def test_of_a_reference_without_an_error_any_loss_is_a_whole() -> None:
    perfect, wrong = np.array([[0.0, 1.0]]), np.array([[4.0, 1.0]])
    assert RMSE.gain(wrong, perfect).tolist() == [-1.0]
    assert RMSE.gain(perfect, perfect).tolist() == [0.0]


@pytest.mark.parametrize(("scale", "verdict"), [(1.0, "ACCEPTED"), (1.3, "REJECTED")])
def test_quality_is_judged_by_the_ratio(scale: float, verdict: str) -> None:
    noise = 1 + 0.1 * np.random.default_rng(1).normal(size=600)
    found = quality_checks(statistics(scale * noise * ERRORS), {"teacher": statistics(ERRORS)}, [RMSE], SETTINGS, 0)
    (check,) = decide(found, 0.05)
    assert (check.name, check.unit, check.verdict) == ("rmse_difference", "relative", verdict)
    assert check.detail.startswith("better on ")


def test_what_is_open_says_its_margin_in_percent() -> None:
    errors = np.random.default_rng(2).normal(size=600)
    pair = statistics(1.05 * errors), statistics(ERRORS)
    (check,) = decide(quality_checks(pair[0], {"teacher": pair[1]}, [RMSE], SETTINGS, 0, ROWS), 0.05)
    assert check.verdict == "INCONCLUSIVE"
    assert "600 rows can show a margin of " in check.detail
    assert "% at best; about " in check.detail
    assert " would show 10% with 80% chance" in check.detail


def test_slices_are_judged_in_the_primary_metric() -> None:
    slices = {"first": np.arange(600) < 200, "rest": np.arange(600) >= 200}
    found = slice_checks(slices, statistics(LARGER * ERRORS), statistics(ERRORS), RMSE, SETTINGS, 0)
    assert [check.verdict for check in decide(found, 0.05)] == ["REJECTED", "ACCEPTED"]


def test_the_baseline_is_beaten_in_the_primary_metric_and_a_useless_teacher_is_told_in_its_unit() -> None:
    good, bad = statistics(ERRORS), statistics(2 * ERRORS)
    found = decide(baseline_checks(good, bad, bad, RMSE, "the mean", SETTINGS, 0), 0.05)
    assert [(one.name, one.verdict) for one in found] == [
        ("rmse_above_baseline", "ACCEPTED"),
        ("rmse_above_baseline", "REJECTED"),
    ]
    value = f"{2 * np.sqrt((ERRORS**2).mean()):.4g} °C"
    assert found[1].detail.startswith(f"the teacher's error is {value} and that of the mean {value}, so being as good")


def test_least_values_are_asked_of_the_primary_metric_in_its_own_direction() -> None:
    models = [
        candidate(name, None).model_copy(update={"metrics": {"rmse": value}})
        for name, value in (("teacher", 1.9), ("quantized", 2.0))
    ]
    asked = SETTINGS.model_copy(update={"min_accuracy": 2.0, "min_accuracy_kept": 0.9})
    found = {check.name: check for check in exact_checks(asked, report(*models), RMSE)}
    assert (found["rmse"].direction, found["rmse"].verdict) == ("at_most", "ACCEPTED")
    assert found["rmse_kept"].value == pytest.approx(0.95)


def accepted(metric: Metric, ratio: float, rows: int, margin: float, evaluations: int) -> float:
    """Share of simulated evaluations that show the margin, of a model whose error is so many times the reference's."""
    rng, shown = np.random.default_rng(7), 0
    for seed in range(evaluations):
        common, own, other = rng.normal(size=(3, rows))
        pair = statistics(ratio * (common + 0.5 * own)), statistics(common + 0.5 * other)
        shown += paired_difference(*pair, metric, resamples=400, seed=seed).p_not_inferior(margin) <= 0.05
    return shown / evaluations


def test_at_a_relative_margin_itself_a_model_is_accepted_no_more_often_than_the_level_says() -> None:
    assert accepted(RMSE, ratio=1.1, rows=300, margin=0.1, evaluations=400) <= 0.05 + 0.022  # 2 standard errors
    assert accepted(RMSE, ratio=1.0, rows=300, margin=0.1, evaluations=60) > 0.5


def test_the_evaluations_headline_is_its_primary_metric() -> None:
    measured = candidate("quantized", None).model_copy(update={"metrics": {"rmse": 0.53}})
    error = MeasuredMetric(name="rmse", title="error", better="lower", unit="°C")
    assert report(measured).model_copy(update={"metrics": [error]}).headline() == "quantized: error 0.5300, 0.00×"
    assert report(candidate("quantized", 0.9)).headline() == "quantized: accuracy 0.9000, 0.00×"
