"""Whether the selected model is as good as another one, by more than the luck of the draw."""

import math
from collections.abc import Callable, Mapping, Sequence

from hone.configs.delivery import GateSettings
from hone.tasks.contracts import Check, VerdictName
from hone.tasks.gate.advice import RowSource
from hone.tasks.gate.decision import Claim
from hone.tasks.gate.paired import Difference, paired_difference
from hone.tasks.objectives.judging import Judging
from hone.tasks.objectives.metric import Metric, Statistics

Told = Callable[[VerdictName, float], str]
BETTER = "a better model helps: more epochs (train, distill, prune, quantize), or less taken away (prune.*_fraction)"


def if_sound(judging: Judging, statistics: Statistics | None) -> Statistics | None:
    """Statistics [rows, k] of a model; None where nothing, or something that is no number, was answered. The champion's
    are taken as they are, and such answers count as wrong: a broken one is easily bettered, and is in nobody's way."""
    return None if statistics is None or judging.unanswered(statistics).any() else statistics


def quality_checks(
    candidate: Statistics | None,
    others: Mapping[str, Statistics | None],
    metrics: Sequence[Metric],
    settings: GateSettings,
    seed: int,
    rows: RowSource | None = None,
) -> list[Check | Claim]:
    """For each metric against each other model: inside the margin below it.

    Args:
        candidate: statistics [rows, k] of the selected model.
        others: statistics of the same rows by subject: `teacher`, `champion`, `teacher, typos` and the like.
        metrics: those of `gate.metrics`.
        rows: where more rows could come from; None where they could not.
    """
    result: list[Check | Claim] = []
    for subject, other in others.items():
        for metric in metrics:
            difference = difference_of(candidate, other, metric, settings, seed)
            if difference is None:
                result.append(not_answered(f"{metric.name}_difference", subject, -settings.margin, metric.margin_unit))
            else:
                told = about_margin(difference, "gate.margin", settings.margin, rows)
                result.append(margin_claim(f"{metric.name}_difference", subject, difference, settings.margin, told))
    return result


def not_compared(metrics: Sequence[Metric], settings: GateSettings, subject: str, why: str) -> list[Check]:
    """Checks that stay open, as there was nothing to compare with."""
    return [
        not_answered(f"{metric.name}_difference", subject, -settings.margin, metric.margin_unit).model_copy(
            update={"verdict": "INCONCLUSIVE", "detail": f"not compared: {why}"}
        )
        for metric in metrics
    ]


def not_answered(name: str, subject: str, threshold: float, unit: str = "points") -> Check:
    """A comparison that could not be made fails: nothing passes on silence."""
    return Check(
        name=name,
        subject=subject,
        verdict="REJECTED",
        value=None,
        threshold=threshold,
        unit=unit,
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
            unit=difference.metric.margin_unit,
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
        smallest, asked = difference.smallest_margin(level), _as_margin(difference, margin, "g").removesuffix(" points")
        wider = math.ceil(1000 * smallest + 1e-6) / 1000
        if needed is None:
            said = "it is measured on the margin itself, or so near it that no number of rows settles it"
        elif distance > 0:
            said = (
                f"{difference.rows:,} rows can show a margin of {_as_margin(difference, smallest, '.2f')} at best; "
                f"about {needed:,} would show {asked} with 80% chance"
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
    return difference.metric.disagreement.format(won=difference.won, lost=difference.lost, rows=difference.rows)


def difference_of(
    candidate: Statistics | None, other: Statistics | None, metric: Metric, settings: GateSettings, seed: int
) -> Difference | None:
    """None where one of the two gave no answers, or there is no row."""
    if candidate is None or other is None or not len(candidate):
        return None
    return paired_difference(candidate, other, metric, resamples=settings.resamples, seed=seed)


def _as_margin(difference: Difference, margin: float, digits: str) -> str:
    """`1.25 points`, or `1.25%` of the reference where margins are relative.

    Args:
        digits: how a number in points or percent is formatted.
    """
    unit = difference.metric.margin_unit
    scaled = {"points": f"{100 * margin:{digits}} points", "relative": f"{100 * margin:{digits}}%"}
    return scaled.get(unit, f"{margin:.4g} {unit}".rstrip())
