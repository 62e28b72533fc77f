"""What every stage of the chain took away: quality, size and latency from one to the next, as SVG."""

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from hone.tasks.report import wording
from hone.tasks.report.plots import CHOSEN, INK, MUTED, RULE, STYLE, as_svg

Report = dict[str, Any]
GAP = "\N{NO-BREAK SPACE}" * 2  # SVG makes one of several plain ones


def waterfall(report: Report) -> dict[str, str]:
    """The primary metric (where it is a share), size and latency from stage to stage of the exported chain, each with
    its change: one plot for each, by its title. Of size and latency the part that a stage took away is drawn pale
    behind what is left."""
    cell = wording.headline_cell(report["candidates"])
    chain = [candidate for candidate in report["candidates"] if candidate["runtime"] == "onnxruntime"]
    metric = wording.metrics(report)[0]
    shares = [candidate["metrics"].get(metric["name"]) for candidate in chain]
    sizes = [candidate["size_bytes"] or None for candidate in chain]
    times = [wording.latency_at(candidate, cell) for candidate in chain]
    names = [wording.model(candidate["name"]) for candidate in chain]
    chosen = [candidate["name"] == report["selected"] for candidate in chain]
    plots = {}
    if metric["unit"] == "share" and any(share is not None for share in shares):
        title = wording.capital(metric["title"])
        plots[f"{title}, %"] = _steps(title, names, chosen, shares)
    if any(sizes):
        plots["Size"] = _bars("Size", names, chosen, sizes, wording.size)
    if cell and any(times):
        title = f"Median ms at {wording.cell_title(cell)}"
        plots[title] = _bars(title, names, chosen, times, wording.milliseconds)
    return plots


def _steps(title: str, names: list[str], chosen: list[bool], shares: list[float | None]) -> str:
    """A dot for each share, with a bar from the one before to it."""
    known = [100 * share for share in shares if share is not None]
    room = max(known) - min(known) or 1.0
    with mpl.rc_context({**STYLE, "svg.hashsalt": "steps"}):
        figure, axes = _rows(names)
        before = None
        for row, (share, here) in enumerate(zip(shares, chosen, strict=True)):
            colour, note = CHOSEN if here else INK, wording.MISSING
            x = right = max(known) if share is None else 100 * share
            if share is not None:
                note = f"{x:.2f}"
                if before is not None:
                    change = wording.signed_points((x - before) / 100)
                    note += f"{GAP}{change}"
                    right = max(x, before)
                    axes.plot([before, before], [row - 1, row], color=RULE, linewidth=0.9, zorder=1)
                    axes.plot([before, x], [row, row], color=colour, linewidth=4, alpha=0.5, zorder=2)
                axes.plot([x], [row], marker="o", markersize=7 if here else 5.5, color=colour, zorder=3)
                before = x
            _note(axes, note, right, row, 8)
        axes.set_xlim(min(known) - 0.12 * room, max(known) + 1.3 * room)
        return as_svg(figure, f"{title} of every stage")


def _bars(
    title: str,
    names: list[str],
    chosen: list[bool],
    values: Sequence[float | None],
    shown: Callable[[float | None], str],
) -> str:
    """A bar for each value, and behind it, pale, the one before where that is longer."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": title}):
        figure, axes = _rows(names)
        before = None
        for row, (value, here) in enumerate(zip(values, chosen, strict=True)):
            note, end = shown(value), value or 0.0
            if value and before:
                axes.barh(row, max(before - value, 0.0), left=value, height=0.52, color=RULE, alpha=0.55)
                note += f"{GAP}{_change(value / before)}"
                end = max(before, value)
            if value:
                axes.barh(row, value, height=0.52, color=CHOSEN if here else MUTED, alpha=1 if here else 0.6)
                before = value
            _note(axes, note, end, row, 5)
        axes.set_xlim(0, 1.95 * max(value or 0.0 for value in values))
        return as_svg(figure, f"{title} of every stage")


def _rows(names: list[str]) -> tuple[Figure, Axes]:
    """An empty plot with a row for each name."""
    figure = Figure(figsize=(3.1, 0.2 + 0.36 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.xaxis.set_major_locator(NullLocator())
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    return figure, axes


def _note(axes: Axes, text: str, x: float, row: int, right: int) -> None:
    axes.annotate(text, (x, row), xytext=(right, 0), textcoords="offset points", va="center", fontsize=10)


def _change(ratio: float) -> str:
    """`−51%`; a value that grew to several times of it as `3.2×`."""
    if ratio >= 2:
        return f"{ratio:.1f}×"
    percent = round(100 * (ratio - 1))
    return "±0%" if percent == 0 else f"{'−' if percent < 0 else '+'}{abs(percent)}%"
