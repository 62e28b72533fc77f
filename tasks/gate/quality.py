"""Whether the selected model is as good as another one, by more than the luck of the draw."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from configs.delivery import GateSettings
from tasks.contracts import Check
from tasks.gate.paired import Difference, paired_difference

Ids = npt.NDArray[np.int64]


def predictions(logits: npt.NDArray[np.float32] | None) -> Ids | None:
    """Label ids [rows], the first of equals; None where nothing, or something that is no number, was answered."""
    if logits is None or not np.isfinite(logits).all():
        return None
    return logits.argmax(axis=1).astype(np.int64)


def quality_checks(
    labels: Ids, candidate: Ids | None, others: Mapping[str, Ids | None], settings: GateSettings, seed: int
) -> list[Check]:
    """One check for each metric against each other model: inside the margin below it, with a one-sided bound.

    Args:
        labels: [rows] label ids.
        candidate: predictions of the selected model.
        others: predictions by subject: `teacher`, `champion`, `teacher, typos` and the like.
    """
    checks = []
    for subject, other in others.items():
        for metric in settings.metrics:
            difference = _difference(labels, candidate, other, metric, settings, seed)
            checks.append(margin_check(f"{metric}_difference", subject, difference, settings.margin, settings.level))
    return checks


def floor_check(labels: Ids, candidate: Ids | None, floor: Ids | None, settings: GateSettings, seed: int) -> Check:
    """More accurate than TF-IDF with logistic regression: a margin of none. As good as the floor is not enough."""
    difference = _difference(labels, candidate, floor, "accuracy", settings, seed)
    return margin_check("accuracy_above_floor", "", difference, 0.0, settings.level)


def margin_check(name: str, subject: str, difference: Difference | None, margin: float, level: float) -> Check:
    """Passes when the lower bound is above -margin, fails when the upper bound is below it; between them it is open,
    and the detail says what these rows can show and how many would settle it. What was not measured fails."""
    if difference is None:
        return Check(
            name=name,
            subject=subject,
            verdict="REJECTED",
            value=None,
            threshold=-margin,
            unit="points",
            direction="above",
            detail="one of the two gave no answers, or answers that are no numbers",
        )
    low, high = difference.low(level), difference.high(level)
    if low > -margin and difference.p_not_inferior(margin) <= level:
        verdict, detail = "ACCEPTED", disagreement(difference)
    elif high < -margin:
        verdict, detail = "REJECTED", disagreement(difference)
    else:
        verdict, detail = "INCONCLUSIVE", open_question(difference, margin, level)
    return Check.model_validate(
        {
            "name": name,
            "subject": subject,
            "verdict": verdict,
            "value": difference.value,
            "threshold": -margin,
            "unit": "points",
            "direction": "above",
            "low": low,
            "high": high,
            "level": level,
            "detail": detail,
            "rows": difference.rows,
        }
    )


def disagreement(difference: Difference) -> str:
    """On how many rows the two differ, and how."""
    return f"alone right on {difference.won:,} rows, alone wrong on {difference.lost:,} of {difference.rows:,}"


def open_question(difference: Difference, margin: float, level: float) -> str:
    """Why it is open: what these rows can show, and how many would settle it."""
    needed = difference.rows_needed(margin, level)
    settle = (
        f"about {needed:,} would settle it, one way or the other"
        if needed
        else "it lies on the margin, and no number would settle it"
    )
    if not margin:
        return f"{difference.rows:,} test rows do not tell the two apart; {settle}"
    shown = 100 * difference.smallest_margin(level)
    return f"{difference.rows:,} test rows can show a margin of {shown:.2f} points at best; {settle}"


def _difference(
    labels: Ids, candidate: Ids | None, other: Ids | None, metric: str, settings: GateSettings, seed: int
) -> Difference | None:
    if candidate is None or other is None or not len(labels):
        return None
    return paired_difference(labels, candidate, other, metric, resamples=settings.resamples, seed=seed)
