"""Each threshold of the recipe against what was measured. What was not measured fails: nothing passes on silence."""

from collections.abc import Callable
from typing import Literal

from configs.delivery import GateSettings
from tasks.contracts import Candidate, Check, EvaluationReport

Direction = Literal["at_least", "at_most", "above"]
HOLDS: dict[Direction, Callable[[float, float], bool]] = {
    "at_least": lambda value, threshold: value >= threshold,
    "at_most": lambda value, threshold: value <= threshold,
    "above": lambda value, threshold: value > threshold,
}


def run_checks(settings: GateSettings, report: EvaluationReport) -> list[Check]:
    """One check for each threshold that is not null, in the order of the settings.

    `accuracy_kept` is a share of the reference's accuracy, `size_fraction` a share of the baseline's bytes, `speedup`
    is over the baseline, and `accuracy_above_floor` the difference to TF-IDF with logistic regression, which has to be
    above 0: as good as the floor is not enough. A model without an accuracy is refused even where no threshold is set.
    """
    candidates = {candidate.name: candidate for candidate in report.candidates}
    selected, floor = candidates.get(report.selected), candidates.get("floor")
    reference, baseline = candidates.get(report.reference), candidates.get(report.baseline)
    accuracy = _metric(selected, "accuracy")
    accuracy_kept = _ratio(accuracy, _metric(reference, "accuracy"))
    size_fraction = _ratio(_size(selected), _size(baseline))
    # 0 is what nobody measured.
    speedup = selected.speedup or None if selected else None
    calibration_error = _metric(selected, "calibration_error")
    above_floor = _difference(accuracy, _metric(floor, "accuracy"))
    least = 0.0 if settings.min_accuracy is None and accuracy is None else settings.min_accuracy
    checks = [
        _check("accuracy", accuracy, least, "at_least", "share"),
        _check("accuracy_kept", accuracy_kept, settings.min_accuracy_kept, "at_least", "share"),
        _check("size_fraction", size_fraction, settings.max_size_fraction, "at_most", "share"),
        _check("speedup", speedup, settings.min_speedup, "at_least", "x"),
        _check("calibration_error", calibration_error, settings.max_calibration_error, "at_most", "share"),
        _check("accuracy_above_floor", above_floor, 0.0 if settings.beat_floor else None, "above", "share"),
    ]
    return [check for check in checks if check is not None]


def verdict_of(checks: list[Check]) -> Literal["ACCEPTED", "REJECTED"]:
    """REJECTED when any check is."""
    return "REJECTED" if any(check.verdict == "REJECTED" for check in checks) else "ACCEPTED"


def _check(name: str, value: float | None, threshold: float | None, direction: Direction, unit: str) -> Check | None:
    if threshold is None:
        return None
    passed = value is not None and HOLDS[direction](value, threshold)
    return Check(
        name=name,
        verdict="ACCEPTED" if passed else "REJECTED",
        value=value,
        threshold=threshold,
        unit=unit,
        direction=direction,
    )


def _metric(candidate: Candidate | None, name: str) -> float | None:
    return None if candidate is None else candidate.metrics.get(name)


def _size(candidate: Candidate | None) -> float | None:
    """0 is what nobody measured."""
    return candidate.size_bytes or None if candidate else None


def _ratio(value: float | None, whole: float | None) -> float | None:
    return value / whole if value is not None and whole else None


def _difference(value: float | None, other: float | None) -> float | None:
    return value - other if value is not None and other is not None else None
