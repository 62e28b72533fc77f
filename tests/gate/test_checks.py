import pytest

from configs.delivery import GateSettings
from tasks.contracts import Artifact, Candidate, EvaluationReport, StageRecord
from tasks.gate.checks import run_checks, verdict_of

RECORD = StageRecord(name="evaluate", status="ran", reason="", seconds=0.0)
ARTIFACT = Artifact(uri="file:///evidence", digest="sha256:0", size_bytes=1)
NOTHING = GateSettings(min_accuracy_kept=None, max_size_fraction=None, min_speedup=None, beat_floor=False)


def candidate(name: str, accuracy: float | None, size_bytes: int = 100, speedup: float = 1.0) -> Candidate:
    return Candidate(
        name=name,
        stage="train",
        runtime="onnxruntime",
        provider="CPUExecutionProvider",
        precision="fp32",
        metrics={} if accuracy is None else {"accuracy": accuracy, "calibration_error": 0.05},
        confusion=[],
        size_bytes=size_bytes,
        parameters=10,
        speedup=speedup,
    )


def report(*candidates: Candidate, selected: str = "quantized") -> EvaluationReport:
    return EvaluationReport(
        record=RECORD,
        artifact=ARTIFACT,
        candidates=list(candidates),
        selected=selected,
        baseline="teacher",
        reference="teacher",
        machine={},
    )


GOOD = report(candidate("teacher", 0.9), candidate("quantized", 0.882, 16, 7.5), candidate("floor", 0.8, 5, 30.0))


def test_values_are_computed_as_the_settings_say():
    settings = GateSettings(
        min_accuracy=0.85,
        min_accuracy_kept=0.98,
        max_size_fraction=0.2,
        min_speedup=6.0,
        max_calibration_error=0.1,
        beat_floor=True,
    )
    checks = run_checks(settings, GOOD)
    assert {check.name: check.value for check in checks} == pytest.approx(
        {
            "accuracy": 0.882,
            "accuracy_kept": 0.98,
            "size_fraction": 0.16,
            "speedup": 7.5,
            "calibration_error": 0.05,
            "accuracy_above_floor": 0.082,
        }
    )
    assert [check.threshold for check in checks] == [0.85, 0.98, 0.2, 6.0, 0.1, 0.0]
    assert verdict_of(checks) == "ACCEPTED"


@pytest.mark.parametrize(
    ("field", "passing", "failing"),
    [
        ("min_accuracy", 0.882, 0.8821),
        ("min_accuracy_kept", 0.979, 0.981),
        ("max_size_fraction", 0.16, 0.159),
        ("min_speedup", 7.5, 7.51),
        ("max_calibration_error", 0.05, 0.049),
    ],
)
def test_each_threshold_alone_accepts_and_rejects(field, passing, failing):
    for threshold, verdict in ((passing, "ACCEPTED"), (failing, "REJECTED")):
        checks = run_checks(NOTHING.model_copy(update={field: threshold}), GOOD)
        assert [(check.threshold, check.verdict) for check in checks] == [(threshold, verdict)]
        assert verdict_of(checks) == verdict


def test_as_good_as_the_floor_is_not_enough():
    settings = NOTHING.model_copy(update={"beat_floor": True})
    equal = report(candidate("teacher", 0.9), candidate("quantized", 0.8), candidate("floor", 0.8))
    better = report(candidate("teacher", 0.9), candidate("quantized", 0.81), candidate("floor", 0.8))
    assert verdict_of(run_checks(settings, equal)) == "REJECTED"
    assert verdict_of(run_checks(settings, better)) == "ACCEPTED"


ALL = GateSettings(
    min_accuracy=0.0, max_calibration_error=1.0, min_accuracy_kept=0.0, max_size_fraction=9, min_speedup=0.1
)


def test_a_missing_metric_fails_however_low_the_threshold():
    checks = run_checks(
        ALL, report(candidate("teacher", 0.9), candidate("quantized", None, 16, 7.5), candidate("floor", 0.8))
    )
    missing = {check.name for check in checks if check.value is None}
    assert missing == {"accuracy", "accuracy_kept", "calibration_error", "accuracy_above_floor"}
    assert {check.name for check in checks if check.verdict == "REJECTED"} == missing
    assert verdict_of(checks) == "REJECTED"


def test_size_and_speed_that_nobody_measured_fail():
    checks = run_checks(
        ALL, report(candidate("teacher", 0.9), candidate("quantized", 0.9, 0, 0.0), candidate("floor", 0.8))
    )
    assert {check.name for check in checks if check.value is None} == {"size_fraction", "speedup"}
    assert verdict_of(checks) == "REJECTED"


@pytest.mark.parametrize("absent", ["teacher", "quantized", "floor"])
def test_an_absent_candidate_fails_what_it_is_needed_for(absent):
    present = [one for one in GOOD.candidates if one.name != absent]
    checks = run_checks(ALL, report(*present))
    assert any(check.value is None for check in checks)
    assert verdict_of(checks) == "REJECTED"


def test_a_reference_that_is_never_right_leaves_no_share_to_keep():
    checks = run_checks(
        GateSettings(), report(candidate("teacher", 0.0), candidate("quantized", 0.5), candidate("floor", 0.1))
    )
    assert {check.name: check.value for check in checks}["accuracy_kept"] is None


def test_a_chain_that_changed_nothing_is_measured_against_itself():
    checks = run_checks(GateSettings(), report(candidate("teacher", 0.9), candidate("floor", 0.8), selected="teacher"))
    values = {check.name: check.value for check in checks}
    assert (values["accuracy_kept"], values["size_fraction"], values["speedup"]) == (1.0, 1.0, 1.0)
    assert verdict_of(checks) == "REJECTED"  # neither smaller nor faster, as the defaults ask


def test_a_threshold_that_is_null_is_no_check():
    assert run_checks(NOTHING, GOOD) == []
    assert verdict_of([]) == "ACCEPTED"


def test_a_model_without_an_accuracy_is_refused_even_where_nothing_is_asked():
    checks = run_checks(
        NOTHING, report(candidate("teacher", 0.9), candidate("quantized", None), candidate("floor", 0.8))
    )
    assert [(check.name, check.value, check.verdict) for check in checks] == [("accuracy", None, "REJECTED")]
