"""A check's interval drawn against its threshold: a bar between the bounds, a dot at the value, a dashed line at the
threshold, and the side where it would fail shaded. SVG text that takes its colours from the page around it."""

from collections.abc import Sequence
from html import escape
from typing import Any

from hone.tasks.report import wording

WIDTH, HEIGHT, INSET = 200.0, 22.0, 16.0
CLASSES = {"ACCEPTED": "yes", "REJECTED": "no", "INCONCLUSIVE": "open"}
Check = dict[str, Any]
Span = tuple[float, float]


def span(checks: Sequence[Check]) -> Span | None:
    """Smallest and largest number of the checks that have an interval, for a scale that they share; None where none
    has."""
    numbers = [
        check[key]
        for check in checks
        if has_interval(check)
        for key in ("low", "high", "value", "threshold")
        if check[key] is not None
    ]
    return (min(numbers), max(numbers)) if numbers else None


def has_interval(check: Check) -> bool:
    """Whether there is something to draw."""
    return check["value"] is not None and (check.get("low") is not None or check.get("high") is not None)


def drawing(check: Check, scale: Span | None = None) -> str:
    """The check as SVG; empty where it has no interval.

    Args:
        scale: what the whole width spans; what lies beyond it is cut off. None takes the check's own numbers.
    """
    found = scale or span([check])
    if not has_interval(check) or found is None:
        return ""
    low, high = found
    reach = high - low or abs(high) or 1.0

    def place(value: float | None, otherwise: float) -> float:
        if value is None:
            return otherwise
        inside = INSET + (WIDTH - 2 * INSET) * (value - low) / reach
        return min(max(inside, 0.0), WIDTH)

    start, end = place(check["low"], 0.0), place(check["high"], WIDTH)
    line, dot = place(check["threshold"], 0.0), place(check["value"], 0.0)
    refused = (line, WIDTH) if check["direction"] == "at_most" else (0.0, line)
    middle = HEIGHT / 2
    parts = [
        _rectangle("refused", refused[0], refused[1], 0, HEIGHT),
        f'<path class="axis" d="M0 {middle:g}H{WIDTH:g}"/>',
        _rectangle("reach", start, max(end, start + 1), middle - 3.5, 7),
        f'<path class="threshold" d="M{line:.1f} 0V{HEIGHT:g}"/>',
        f'<circle class="value" cx="{dot:.1f}" cy="{middle:g}" r="4.5"/>',
    ]
    kind = CLASSES[check["verdict"]] if check.get("decides", True) else "told"
    box, said = f"0 0 {WIDTH:g} {HEIGHT:g}", escape(_said(check))
    return f'<svg class="interval {kind}" viewBox="{box}" role="img" aria-label="{said}">{"".join(parts)}</svg>'


def _rectangle(kind: str, left: float, right: float, top: float, height: float) -> str:
    return f'<rect class="{kind}" x="{left:.1f}" y="{top:g}" width="{right - left:.1f}" height="{height:g}"/>'


def _said(check: Check) -> str:
    unit = check.get("unit", "")
    ends = [wording.measured(check[side], unit) if check[side] is not None else "open" for side in ("low", "high")]
    return f"{wording.check_value(check)}, between {ends[0]} and {ends[1]}; asked: {wording.check_demand(check)}"
