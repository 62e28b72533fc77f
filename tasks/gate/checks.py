"""Each demand of the recipe against what was measured. What was not measured fails: nothing passes on silence."""

from collections.abc import Callable, Sequence
from typing import Literal

from hone.configs.delivery import GateSettings
from hone.tasks.contracts import Candidate, Check, ConversionCheck, EvaluationReport, VerdictName
from hone.tasks.gate.decision import Claim
from hone.tasks.gate.speed import MOST_ROUNDS, Measured, Rounds, percentile, speedup
from hone.tasks.objectives.metric import Metric

Direction = Literal["at_least", "at_most", "above"]
HOLDS: dict[Direction, Callable[[float, float], bool]] = {
    "at_least": lambda value, threshold: value >= threshold,
    "at_most": lambda value, threshold: value <= threshold,
    "above": lambda value, threshold: value > threshold,
}
SPEED_SETTINGS = {
    "speedup": "gate.min_speedup",
    "speedup_per_core": "gate.min_speedup_per_core",
    "p95": "gate.max_p95_ms",
}


def exact_checks(settings: GateSettings, report: EvaluationReport, primary: Metric) -> list[Check]:
    """Demands on numbers that have no interval: sizes, what one process took, where the nodes ran.

    `accuracy_kept` is a share of the reference's accuracy as measured, `size_fraction` a share of the baseline's bytes.
    A model without an accuracy is refused even where no threshold is set.

    Args:
        primary: the metric that stands for accuracy. Where lower is better, what is kept is the reference's value as a
            share of the model's, and the least accuracy is the most that it may be.
    """
    candidates = {candidate.name: candidate for candidate in report.candidates}
    selected, reference, baseline = (candidates.get(n) for n in (report.selected, report.reference, report.baseline))
    quality, serving = _metric(selected, primary.name), report.serving
    bound = 0.0 if settings.min_accuracy is None and quality is None else settings.min_accuracy
    served = serving if serving is not None and not serving.error else None
    size_fraction = _ratio(_size(selected), _size(baseline))
    pair = [quality, _metric(reference, primary.name)]
    kept = _ratio(*(pair if primary.better == "higher" else reversed(pair)))
    peak = float(served.peak_memory_bytes) if served else None
    found = [
        _check(primary.name, quality, bound, "at_least" if primary.better == "higher" else "at_most", primary.unit),
        _check(f"{primary.name}_kept", kept, settings.min_accuracy_kept, "at_least", "share"),
        _check(
            "calibration_error",
            _metric(selected, "calibration_error"),
            settings.max_calibration_error,
            "at_most",
            "share",
        ),
        _check("size_fraction", size_fraction, settings.max_size_fraction, "at_most", "share"),
        _check("size_bytes", _size(selected), settings.max_size_bytes, "at_most", "bytes"),
        _check("peak_memory", peak, settings.max_peak_memory_bytes, "at_most", "bytes"),
        _check("load_time", served.load_seconds if served else None, settings.max_load_seconds, "at_most", "s"),
    ]
    return [check for check in found if check is not None]


def speed_checks(
    settings: GateSettings,
    report: EvaluationReport,
    candidate: Sequence[Rounds],
    baseline: Sequence[Rounds],
    cells: Sequence[str],
    seed: int,
    one_thread: Sequence[Sequence[Rounds]] = ((), ()),
) -> list[Check | Claim]:
    """Two speed-ups, each by the lower end of its interval, and the p95 by the upper end of its own.

    `speedup` is of latency, each model with the number of threads that suits it. With no least one set, the model may
    still not be slower than the dense teacher: small is no use when slow. `speedup_per_core` is of throughput, one
    thread each; with no least one set it is told and decides nothing.

    Args:
        candidate, baseline: the calls of each cell, by round.
        cells: what the cells are, in order.
        one_thread: the same of both with one thread.
    """
    load = float(report.machine.get("background_load") or 0.0)
    itself = report.selected == report.baseline  # the dense teacher: there is nothing to time against it

    def faster(name: str, threshold: float, fast: Sequence[Rounds], slow: Sequence[Rounds]) -> Check | Claim:
        if itself or not fast or not slow:
            return _require(name, 1.0 if itself else None, threshold, "at_least", "x")
        ratio = speedup(fast, slow, resamples=settings.resamples, seed=seed)
        return speed_claim(name, "", ratio, threshold, "at_least", "x", load, settings)

    result = [faster("speedup", settings.min_speedup or 1.0, candidate, baseline)]
    if settings.min_speedup_per_core is not None:
        result.append(faster("speedup_per_core", settings.min_speedup_per_core, *one_thread))
    elif all(one_thread) and not itself:
        result.append(_told_per_core(speedup(*one_thread, resamples=settings.resamples, seed=seed), settings.level))
    if settings.max_p95_ms is not None:
        subject = settings.p95_cell.replace("x", "×")
        if candidate:
            calls = candidate[list(cells).index(settings.p95_cell)]
            p95 = percentile(calls, 0.95, resamples=settings.resamples, seed=seed)
            result.append(speed_claim("p95", subject, p95, settings.max_p95_ms, "at_most", "ms", load, settings))
        else:
            result.append(_require("p95", None, settings.max_p95_ms, "at_most", "ms", subject))
    return result


def _told_per_core(measured: Measured, level: float) -> Check:
    """Nobody asks for it: with its interval, where there is more than a round to tell one from."""
    several = measured.rounds > 1
    return Check(
        name="speedup_per_core",
        verdict="INCONCLUSIVE",
        value=measured.value,
        threshold=1.0,
        unit="x",
        direction="at_least",
        low=measured.low(level) if several else None,
        high=measured.high(level) if several else None,
        level=level if several else None,
        decides=False,
    )


def speed_claim(
    name: str,
    subject: str,
    measured: Measured,
    threshold: float,
    direction: Direction,
    unit: str,
    load: float,
    settings: GateSettings,
) -> Check | Claim:
    """That the whole interval is on the right side. A single round, or a busy machine, decides nothing either way.

    Args:
        load: share of the machine that other processes took while it was timed.
    """
    check = Check(
        name=name,
        subject=subject,
        verdict="INCONCLUSIVE",
        value=measured.value,
        threshold=threshold,
        unit=unit,
        direction=direction,
    )
    if measured.rounds == 1:
        detail = "one round of timing does not tell how far the next would be from it: set evaluate.rounds: at least 2"
        return check.model_copy(update={"low": 0.0, "level": settings.level, "detail": detail})
    if load > settings.max_background_load:
        bounds = {"low": measured.low(settings.level), "high": measured.high(settings.level), "level": settings.level}
        detail = (
            f"other processes took {100 * load:.0f}% of the machine while it was timed, more than "
            f"gate.max_background_load: {settings.max_background_load:g}, so it is no evidence: run it again when the "
            "machine is quiet (what is trained is kept)"
        )
        return check.model_copy(update={**bounds, "detail": detail})
    if not measured.error:  # every call took the same
        met = HOLDS[direction](measured.value, threshold)
        return check.model_copy(update={"verdict": "ACCEPTED" if met else "REJECTED"})
    above, below = measured.p_above(threshold), measured.p_below(threshold)
    upwards = direction != "at_most"

    def told(verdict: VerdictName, level: float) -> str:
        if verdict != "INCONCLUSIVE":
            return ""
        rounds = measured.rounds_needed(threshold, level)
        if rounds is None:
            return (
                f"it lies too near the threshold for its noise, and {MOST_ROUNDS} rounds would not settle it: time it "
                f"on a quieter machine, or move {SPEED_SETTINGS[name]}"
            )
        return (
            f"{measured.rounds} rounds do not settle it; {rounds} would with 80% chance: set evaluate.rounds: {rounds} "
            "(what is trained is kept), or time it on a quieter machine"
        )

    return Claim(
        check=check,
        p_met=above if upwards else below,
        p_missed=below if upwards else above,
        low=measured.low,
        high=measured.high,
        told=told,
    )


def placement_checks(settings: GateSettings, report: EvaluationReport) -> list[Check]:
    """Where the nodes of the selected model's session ran, against what the recipe requires."""
    selected = next((candidate for candidate in report.candidates if candidate.name == report.selected), None)
    placement = selected.placement if selected else None
    checks = []
    if settings.require_provider:
        nodes = placement.nodes.get(settings.require_provider, 0) if placement else None
        has = ", ".join(placement.got) if placement else "none that was seen"
        check = _require("required_provider", nodes, 1, "at_least", "nodes", settings.require_provider)
        first = bool(placement and placement.got[:1] == [settings.require_provider])
        verdict: VerdictName = check.verdict if first else "REJECTED"
        detail = "" if verdict == "ACCEPTED" else f"the session's providers are {has}"
        checks.append(check.model_copy(update={"verdict": verdict, "detail": detail}))
    if settings.max_fallback_nodes is not None:
        found = len(placement.fallback) if placement else None
        check = _require("fallback_nodes", found, settings.max_fallback_nodes, "at_most", "nodes")
        if check.verdict != "ACCEPTED" and placement:
            shown = ", ".join(placement.fallback[:5]) + (", …" if len(placement.fallback) > 5 else "")
            check = check.model_copy(update={"detail": f"not on {placement.asked[0]}: {shown}"})
        checks.append(check)
    return checks


def parity_checks(settings: GateSettings, handoffs: Sequence[ConversionCheck]) -> list[Check]:
    """One check for each hand-off, with the bound that fits what changes hands; none at all is a failure too."""
    if not handoffs:
        return [_require("parity", None, settings.parity_exact, "at_most", "", "no hand-off was compared")]
    return [_parity(settings, handoff) for handoff in handoffs]


def serving_check(report: EvaluationReport) -> Check:
    """The model answers its golden requests, all of them, in a process with nothing of Hone's code."""
    serving = report.serving
    share = serving.answered / serving.requests if serving and serving.requests else None
    check = _require("serves", share, 1.0, "at_least", "share")
    detail = serving.error if serving else "it was not loaded in a process of its own"
    return check.model_copy(update={"detail": detail, "rows": serving.requests if serving else None})


def _parity(settings: GateSettings, handoff: ConversionCheck) -> Check:
    bounds = {
        "exact": _require("parity", handoff.max_abs_difference, settings.parity_exact, "at_most", ""),
        "rounded": _require("parity", handoff.agreement, settings.parity_rounded, "at_least", "share"),
        "integer": _require("parity", handoff.rms_share, settings.parity_integer, "at_most", "share"),
    }
    check = bounds[handoff.kind]
    verdict: VerdictName = "REJECTED" if handoff.mismatch else check.verdict
    where = f"first different at {handoff.first_divergence}" if handoff.first_divergence else ""
    detail = "; ".join(part for part in (handoff.mismatch, where if verdict == "REJECTED" else "") if part)
    subject = f"{handoff.model}, {handoff.source} → {handoff.target}"
    return check.model_copy(update={"verdict": verdict, "subject": subject, "detail": detail, "rows": handoff.rows})


def _require(
    name: str, value: float | None, threshold: float, direction: Direction, unit: str, subject: str = ""
) -> Check:
    passed = value is not None and HOLDS[direction](value, threshold)
    return Check(
        name=name,
        verdict="ACCEPTED" if passed else "REJECTED",
        value=value,
        threshold=threshold,
        unit=unit,
        direction=direction,
        subject=subject,
    )


def _check(name: str, value: float | None, threshold: float | None, direction: Direction, unit: str) -> Check | None:
    return None if threshold is None else _require(name, value, threshold, direction, unit)


def _metric(candidate: Candidate | None, name: str) -> float | None:
    return None if candidate is None else candidate.metrics.get(name)


def _size(candidate: Candidate | None) -> float | None:
    """0 is what nobody measured."""
    return candidate.size_bytes or None if candidate else None


def _ratio(value: float | None, whole: float | None) -> float | None:
    return value / whole if value is not None and whole else None
