"""Whether the selected model is as good as another one, by more than the luck of the draw."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from configs.delivery import GateSettings
from tasks.contracts import Check, VerdictName
from tasks.gate.advice import RowSource
from tasks.gate.decision import Claim
from tasks.gate.paired import Difference, paired_difference

Ids = npt.NDArray[np.int64]
Told = Callable[[VerdictName, float], str]
BETTER = "a better model helps: more epochs (train, distill, prune, quantize), or less taken away (prune.*_fraction)"


def predictions(logits: npt.NDArray[np.float32] | None) -> Ids | None:
    """Label ids [rows], the first of equals; None where nothing, or something that is no number, was answered."""
    if logits is None or not np.isfinite(logits).all():
        return None
    return logits.argmax(axis=1).astype(np.int64)


def champion_predictions(logits: npt.NDArray[np.float32]) -> tuple[Ids, int]:
    """Label ids [rows] of the champion, and how many of its answers are no numbers. These count as wrong: they get an
    id beyond the labels. A champion that is broken is easily bettered, and does not stand in the way of every model."""
    broken = ~np.isfinite(logits).all(axis=1)
    answered = np.where(broken, logits.shape[1], np.nan_to_num(logits).argmax(axis=1))
    return answered.astype(np.int64), int(broken.sum())


def quality_checks(
    labels: Ids,
    candidate: Ids | None,
    others: Mapping[str, Ids | None],
    settings: GateSettings,
    seed: int,
    rows: RowSource | None = None,
) -> list[Check | Claim]:
    """For each metric against each other model: inside the margin below it.

    Args:
        labels: [rows] label ids.
        candidate: predictions of the selected model.
        others: predictions by subject: `teacher`, `champion`, `teacher, typos` and the like.
        rows: where more rows could come from; None where they could not.
    """
    found: list[Check | Claim] = []
    for subject, other in others.items():
        for metric in settings.metrics:
            name = f"{metric}_difference"
            difference = difference_of(labels, candidate, other, metric, settings, seed)
            if difference is None:
                found.append(not_answered(name, subject, -settings.margin))
            else:
                told = about_margin(difference, "gate.margin", settings.margin, rows)
                found.append(margin_claim(name, subject, difference, settings.margin, told))
    return found


def not_compared(settings: GateSettings, subject: str, why: str) -> list[Check]:
    """Checks that stay open, as there was nothing to compare with."""
    return [
        not_answered(f"{metric}_difference", subject, -settings.margin).model_copy(
            update={"verdict": "INCONCLUSIVE", "detail": f"not compared: {why}"}
        )
        for metric in settings.metrics
    ]


def not_answered(name: str, subject: str, threshold: float) -> Check:
    """A comparison that could not be made fails: nothing passes on silence."""
    return Check(
        name=name,
        subject=subject,
        verdict="REJECTED",
        value=None,
        threshold=threshold,
        unit="points",
        direction="above",
        detail="one of the two gave no answers, or answers that are no numbers",
    )


def margin_claim(name: str, subject: str, difference: Difference, margin: float, told: Told) -> Claim:
    """That the difference is above -margin."""
    return Claim(
        check=Check(
            name=name,
            subject=subject,
            verdict="INCONCLUSIVE",
            value=difference.value,
            threshold=-margin,
            unit="points",
            direction="above",
            rows=difference.rows,
        ),
        p_met=difference.p_not_inferior(margin),
        p_missed=difference.p_inferior(margin),
        low=difference.low,
        high=difference.high,
        told=told,
    )


def about_margin(
    difference: Difference, setting: str, margin: float, rows: RowSource | None, part: float = 1.0
) -> Told:
    """What is told of a comparison within a margin: on which rows the two differ, and of an open one what these rows
    can show, how many would settle it, and what to set.

    Args:
        setting: that holds the margin.
        rows: where more rows could come from; None where they could not.
        part: share of the test rows that are compared on.
    """

    def told(verdict: VerdictName, level: float) -> str:
        if verdict != "INCONCLUSIVE":
            return disagreement(difference)
        distance, needed = difference.value + margin, difference.rows_needed(margin, level)
        smallest = difference.smallest_margin(level)
        wider = math.ceil(1000 * smallest + 1e-6) / 1000
        if needed is None:
            said = "it is measured on the margin itself, or so near it that no number of rows settles it"
        elif distance > 0:
            said = (
                f"{difference.rows:,} rows can show a margin of {100 * smallest:.2f} points at best; about {needed:,} "
                f"would show {100 * margin:g} with 80% chance"
            )
        else:
            said = (
                f"it is measured beyond the margin, which {difference.rows:,} rows do not settle; about {needed:,} "
                "would with 80% chance"
            )
        ways = []
        if distance <= 0 or needed is None:
            ways.append(BETTER)
        elif rows:
            ways.append(rows.more(math.ceil(needed / part)))
        if margin < wider < 1:
            ways.append(f"or set {setting}: {wider:g}, if so much may be lost")
        return f"{said}: {', '.join(ways)}" if ways else said

    return told


def disagreement(difference: Difference) -> str:
    """On how many rows the two differ, and how."""
    return f"alone right on {difference.won:,} rows, alone wrong on {difference.lost:,} of {difference.rows:,}"


def difference_of(
    labels: Ids, candidate: Ids | None, other: Ids | None, metric: str, settings: GateSettings, seed: int
) -> Difference | None:
    """None where one of the two gave no answers, or there is no row."""
    if candidate is None or other is None or not len(labels):
        return None
    return paired_difference(labels, candidate, other, metric, resamples=settings.resamples, seed=seed)
