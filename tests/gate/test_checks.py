"""What is measured exactly: thresholds on values, placement, agreement between a model's forms, and serving."""

import pytest

from hone.tasks.contracts import Check, ConversionCheck, Placement
from hone.tasks.gate.checks import exact_checks, parity_checks, placement_checks, serving_check
from hone.tasks.gate.decision import verdict_of
from hone.tasks.objectives.text_classification.metrics import METRICS
from tests.gate.report_fixtures import GOOD, NOTHING, SERVING, candidate, report

ACCURACY = METRICS["accuracy"]
ON_CPU = Placement(asked=["cpu"], got=["cpu"], nodes={"cpu": 40}, operators={"cpu": {"MatMul": 40}}, fallback=[])
ALL = {
    "min_accuracy": 0.85,
    "min_accuracy_kept": 0.98,
    "max_size_fraction": 0.2,
    "max_size_bytes": 20,
    "max_calibration_error": 0.1,
    "max_peak_memory_bytes": 100_000_000,
    "max_load_seconds": 0.5,
}


def test_values_are_computed_as_the_settings_say():
    checks = exact_checks(NOTHING.model_copy(update=ALL), GOOD, ACCURACY)
    assert {check.name: check.value for check in checks} == pytest.approx(
        {
            "accuracy": 0.882,
            "accuracy_kept": 0.98,
            "calibration_error": 0.05,
            "size_fraction": 0.16,
            "size_bytes": 16,
            "peak_memory": 90_000_000,
            "load_time": 0.4,
        }
    )
    assert verdict_of(checks) == "ACCEPTED"


@pytest.mark.parametrize(
    ("field", "passing", "failing"),
    [
        ("min_accuracy", 0.882, 0.8821),
        ("min_accuracy_kept", 0.979, 0.981),
        ("max_size_fraction", 0.16, 0.159),
        ("max_size_bytes", 16, 15),
        ("max_calibration_error", 0.05, 0.049),
        ("max_peak_memory_bytes", 90_000_000, 89_999_999),
        ("max_load_seconds", 0.4, 0.39),
    ],
)
def test_each_threshold_alone_accepts_and_rejects(field, passing, failing):
    for threshold, verdict in ((passing, "ACCEPTED"), (failing, "REJECTED")):
        checks = exact_checks(NOTHING.model_copy(update={field: threshold}), GOOD, ACCURACY)
        assert [(check.threshold, check.verdict) for check in checks] == [(threshold, verdict)]


def test_a_threshold_that_is_null_is_no_check():
    assert exact_checks(NOTHING, GOOD, ACCURACY) == []


def test_what_nobody_measured_fails_however_low_the_threshold():
    lax = NOTHING.model_copy(update={**ALL, "min_accuracy": 0.0, "min_accuracy_kept": 0.0, "max_size_fraction": 9})
    bare = report(candidate("teacher", 0.9), candidate("quantized", None, 0), serving=None)
    checks = exact_checks(lax, bare, ACCURACY)
    assert {check.verdict for check in checks} == {"REJECTED"}
    assert {check.value for check in checks} == {None}


@pytest.mark.parametrize("absent", ["teacher", "quantized"])
def test_an_absent_candidate_fails_what_it_is_needed_for(absent):
    present = [one for one in GOOD.candidates if one.name != absent]
    checks = exact_checks(NOTHING.model_copy(update=ALL), report(*present), ACCURACY)
    assert any(check.value is None for check in checks)
    assert verdict_of(checks) == "REJECTED"


def test_a_model_without_an_accuracy_is_refused_even_where_nothing_is_asked():
    bare = report(candidate("teacher", 0.9), candidate("quantized", None))
    checks = exact_checks(NOTHING, bare, ACCURACY)
    assert [(check.name, check.value, check.verdict) for check in checks] == [("accuracy", None, "REJECTED")]


def placed(placement: Placement, **settings) -> list[Check]:
    asked = NOTHING.model_copy(update=settings)
    return placement_checks(asked, report(candidate("quantized", 0.9, placement=placement)))


def test_a_required_gpu_that_the_session_has_not_got_refuses_with_that_reason():
    fell_back = ON_CPU.model_copy(update={"asked": ["cuda", "cpu"], "fallback": ["n1", "n2"]})
    (refused,) = placed(fell_back, require_provider="cuda")
    assert refused.verdict == "REJECTED"
    assert refused.detail == "the session's providers are cpu"
    assert placed(ON_CPU, require_provider="cpu")[0].verdict == "ACCEPTED"
    assert placed(fell_back) == []  # one that is merely preferred


def test_nodes_that_fell_back_are_counted_and_named():
    fell_back = ON_CPU.model_copy(update={"asked": ["cuda", "cpu"], "fallback": ["gather", "shape"]})
    (refused,) = placed(fell_back, max_fallback_nodes=1)
    assert (refused.value, refused.verdict) == (2, "REJECTED")
    assert refused.detail == "not on cuda: gather, shape"
    assert placed(fell_back, max_fallback_nodes=2)[0].verdict == "ACCEPTED"


def test_a_session_that_nobody_looked_into_fails_what_is_required_of_it():
    bare = report(candidate("quantized", 0.9))
    asked = NOTHING.model_copy(update={"require_provider": "cpu", "max_fallback_nodes": 0})
    assert [one.verdict for one in placement_checks(asked, bare)] == ["REJECTED", "REJECTED"]


def handoff(kind: str, **numbers) -> ConversionCheck:
    known = {"max_abs_difference": 1e-6, "rms_share": 1e-3, "agreement": 1.0, "accuracy_difference": 0.0}
    return ConversionCheck(
        model="quantized", source="pytorch", target="onnx (cpu)", kind=kind, rows=9, **{**known, **numbers}
    )


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        ("exact", {"max_abs_difference": 2e-3}),
        ("rounded", {"agreement": 0.85}),
        ("integer", {"rms_share": 0.06}),
        ("exact", {"max_abs_difference": float("inf")}),
        ("exact", {"mismatch": "the tokenizers differ"}),
    ],
)
def test_each_kind_of_hand_off_has_the_bound_that_fits_it(kind, numbers):
    good, bad = parity_checks(NOTHING, [handoff(kind), handoff(kind, first_divergence="layer.1", **numbers)])
    assert (good.verdict, bad.verdict) == ("ACCEPTED", "REJECTED")
    assert "layer.1" in bad.detail
    assert bad.subject == "quantized, pytorch → onnx (cpu)"


def test_no_hand_off_at_all_is_a_failure():
    assert parity_checks(NOTHING, [])[0].verdict == "REJECTED"


@pytest.mark.parametrize(
    ("serving", "detail"),
    [
        (None, "it was not loaded in a process of its own"),
        (SERVING.model_copy(update={"answered": 7}), ""),
        (SERVING.model_copy(update={"answered": 0, "error": "no such file"}), "no such file"),
    ],
)
def test_a_model_that_does_not_serve_is_refused(serving, detail):
    found = serving_check(report(candidate("quantized", 0.9), serving=serving))
    assert (found.verdict, found.detail) == ("REJECTED", detail)
    assert serving_check(GOOD).verdict == "ACCEPTED"
