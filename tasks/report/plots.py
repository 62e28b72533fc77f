"""The report's plots as SVG text that takes its colours and its type from the page around it.

The same numbers give the same bytes: no date, no random ids.
"""

import io
import re
from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from hone.configs.delivery import decodes, parse_cell
from hone.tasks.report import wording

# Drawn in colours that nothing else has, which then become the page's variables: one plot for light and dark.
INK, MUTED, RULE, CHOSEN, PAPER = "#010101", "#020202", "#030303", "#040404", "#050505"
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", CHOSEN: "--accent", PAPER: "--paper"}
LIGHT = {
    "--ink": "#1d1d1b",
    "--muted": "#6a6963",
    "--rule": "#dad8d0",
    "--accent": "#0f6e84",
    "--paper": "#fcfcfa",
    "--sans": "sans-serif",
}
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "axes.titlecolor": MUTED,
    "axes.titlelocation": "left",
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}
MOST_POINTS = 150
Report = dict[str, Any]
Points = list[tuple[float, float]]


def quality_against_latency(report: Report) -> str:
    """Every candidate by its median latency (logarithmic) and its primary metric on the test split, the chain's models
    joined in their order, with the least that the gate asks; empty where nothing was measured."""
    cell, metric = wording.headline_cell(report["candidates"]), wording.metrics(report)[0]
    name, title, scale = metric["name"], metric["title"], 100 if metric["unit"] == "share" else 1
    placed = [
        (candidate, latency, scale * candidate["metrics"][name])
        for candidate in report["candidates"]
        if (latency := wording.latency_at(candidate, cell)) and name in candidate["metrics"]
    ]
    points = [(candidate["name"], x, y) for candidate, x, y in placed]
    chain = [(x, y) for candidate, x, y in placed if candidate["runtime"] == "onnxruntime"]
    if cell is None or not points:
        return ""
    with mpl.rc_context({**STYLE, "svg.hashsalt": "accuracy"}):
        figure = Figure(figsize=(5.6, 3.5), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xscale("log")
        if len(chain) > 1:
            axes.plot(*zip(*chain, strict=True), color=RULE, linewidth=1.2, zorder=1)
        for model, x, y in points:
            chosen = model == report["selected"]
            axes.plot(
                [x],
                [y],
                color=INK,
                marker="D" if model == "floor" else "o",
                markersize=8 if chosen else 6,
                markerfacecolor=CHOSEN if chosen else PAPER,
                markeredgecolor=CHOSEN if chosen else INK,
                markeredgewidth=1.3,
                zorder=3,
            )
        axes.margins(x=0.18, y=0.16)
        _plain_log_ticks(axes, [x for _, x, _ in points])
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(f"milliseconds for {_cell_words(cell)}, median")
        axes.set_title(f"test {title}, {'%' if scale == 100 else metric['unit']}".removesuffix(", "))
        asked = _least_asked(report, metric)
        if asked is not None:
            axes.axhline(scale * asked, color=MUTED, linewidth=0.9, linestyle=(0, (3, 3)), zorder=0)
            axes.annotate(
                "least the gate asks",
                (1.0, scale * asked),
                xycoords=("axes fraction", "data"),
                xytext=(0, -3),
                textcoords="offset points",
                ha="right",
                va="top",
                color=MUTED,
                fontsize=9.5,
            )
        names = [wording.model(candidate["name"], candidate["runtime"]) for candidate, _x, _y in placed]
        _label_points(figure, axes, [(name, x, y) for name, (_model, x, y) in zip(names, points, strict=True)])
        return as_svg(figure, f"Test {title} against latency of every model")


class Drawn(NamedTuple):
    """The plots of a report that stand on its page and beside it, drawn once for both."""

    scatter: str
    """The primary metric against latency; empty where there is nothing to draw."""
    curves: dict[str, str]
    """Learning curves, by stage."""


def draw(report: Report) -> Drawn:
    """The plots as SVG."""
    return Drawn(quality_against_latency(report), learning_curves(report))


def learning_curves(report: Report) -> dict[str, str]:
    """One plot for each stage that trained, by its name: the primary metric on the validation split, to one scale for
    all stages, and the training loss, to each stage's own, as they do not minimise the same."""
    metric = wording.metrics(report)[0]
    name, title = wording.VALIDATED.get(metric["name"], (metric["name"], metric["title"]))
    measured, title = f"validation_{name}", f"validation {title}, %"
    by_stage = {
        stage: {curve["name"]: _finite(curve["steps"], curve["values"]) for curve in curves}
        for stage, curves in report["curves"].items()
    }
    accuracies = [100 * value for found in by_stage.values() for _, value in found.get(measured, [])]
    reach = max(accuracies, default=0.0) - min(accuracies, default=0.0) or 1.0
    limits = min(accuracies, default=0.0) - 0.12 * reach, max(accuracies, default=0.0) + 0.4 * reach
    plots = {}
    for stage, found in by_stage.items():
        accuracy = [(step, 100 * value) for step, value in found.get(measured, [])]
        loss = _thinned(found.get("train_loss", []))
        if accuracy or loss:
            plots[stage] = _small_multiple(stage, title, accuracy, limits, loss)
    return plots


def _small_multiple(stage: str, title: str, accuracy: Points, limits: tuple[float, float], loss: Points) -> str:
    with mpl.rc_context({**STYLE, "svg.hashsalt": f"curves-{stage}"}):
        figure = Figure(figsize=(2.8, 3.1), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        if accuracy:
            above.plot(*zip(*accuracy, strict=True), color=INK, linewidth=1.2, marker="o", markersize=2.6)
            step, best = max(accuracy, key=lambda point: point[1])
            above.plot(step, best, "o", color=CHOSEN, markersize=5)
            above.annotate(
                f"{best:.2f}", (step, best), xytext=(0, 6), textcoords="offset points", ha="center", color=CHOSEN
            )
        above.set_ylim(*limits)
        above.margins(x=0.14)
        above.set_title(title)
        if loss:
            below.plot(*zip(*loss, strict=True), color=INK, linewidth=1.2)
        below.set_title("training loss")
        below.set_xlabel("steps")
        for axes in (above, below):
            axes.yaxis.set_major_locator(MaxNLocator(3))
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        return as_svg(figure, f"Learning curves of {stage}")


def _least_asked(report: Report, metric: dict[str, str]) -> float | None:
    """The strictest least value of a metric that the checks ask; None where lower is better."""
    if metric["better"] == "lower":
        return None
    name, reference = metric["name"], next((c for c in report["candidates"] if c["name"] == report["reference"]), None)
    whole = reference["metrics"].get(name) if reference else None
    asked = [check["threshold"] for check in report["checks"] if check["name"] == name]
    if whole is not None:
        asked += [check["threshold"] * whole for check in report["checks"] if check["name"] == f"{name}_kept"]
    return max(asked, default=None)


def _label_points(figure: Figure, axes: Axes, points: Sequence[tuple[str, float, float]]) -> None:
    """Names beside their points, each on the first side where it covers no point, no line and no other text."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    dots = [axes.transData.transform((x, y)) for _, x, y in points]
    obstacles = [text.get_window_extent(renderer) for text in axes.texts]
    lines = [line.get_window_extent(renderer) for line in axes.lines if line.get_marker() == "None"]
    frame = axes.get_window_extent(renderer)
    sides = [(9, 0, "left", "center"), (-9, 0, "right", "center"), (0, 9, "center", "bottom"), (0, -9, "center", "top")]
    sides += [(6, 7, "left", "bottom"), (-6, 7, "right", "bottom"), (6, -7, "left", "top"), (-6, -7, "right", "top")]
    for name, x, y in points:
        best, least = sides[0], float("inf")
        for side in sides:
            label = _beside(axes, name, (x, y), side)
            box = label.get_window_extent(renderer)
            label.remove()
            covered = sum(box.overlaps(line) for line in lines) + 5 * sum(box.overlaps(text) for text in obstacles)
            covered += 2 * sum(box.contains(*dot) for dot in dots)
            covered += 0 if frame.x0 <= box.x0 and box.x1 <= frame.x1 else 10
            if covered < least:
                best, least = side, covered
        obstacles.append(_beside(axes, name, (x, y), best).get_window_extent(renderer))


def _beside(axes: Axes, name: str, point: tuple[float, float], side: tuple[int, int, str, str]) -> Annotation:
    right, up, horizontal, vertical = side
    return axes.annotate(
        name, point, xytext=(right, up), textcoords="offset points", ha=horizontal, va=vertical, fontsize=10
    )


def _plain_log_ticks(axes: Axes, values: Sequence[float]) -> None:
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if max(values) / min(values) < 1.5:  # no round number may lie between them
        axes.set_xlim(min(values) / 2, max(values) * 2)


def _cell_words(cell: str) -> str:
    batch, length = parse_cell(cell)
    if decodes(cell):
        return f"the next token behind {length}" if batch == 1 else f"the next tokens of {batch} texts of {length}"
    return f"{batch} text of {length} tokens" if batch == 1 else f"{batch} texts of {length} tokens"


def _finite(steps: Sequence[int], values: Sequence[float | None]) -> Points:
    return [(step, value) for step, value in zip(steps, values, strict=True) if value is not None]


def _thinned(points: Points) -> Points:
    """Means of neighbours, so that a long run still fits the page."""
    width = -(-len(points) // MOST_POINTS)
    groups = [points[start : start + width] for start in range(0, len(points), max(1, width))]
    return [(fmean(step for step, _ in group), fmean(value for _, value in group)) for group in groups]


def as_svg(figure: Figure, title: str) -> str:
    """A figure in the colours above as SVG in the page's; the title is read out by a screen reader."""
    stream = io.StringIO()
    FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r"'DejaVu Sans'(?:, [^;\"]*)?", "var(--sans)", text)
    # Ids that nothing points to would stand in the page twice.
    used = set(re.findall(r"#([\w.-]+)", text))
    text = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", text)
    head = rf'<svg viewBox="\1" role="img" aria-label="{title}">'
    return re.sub(r"<svg [^>]*viewBox=\"([^\"]+)\"[^>]*>", head, text, count=1)


def standalone(svg: str) -> str:
    """A plot of this file for places without the page's style: in its light colours, on a background of its own."""
    for variable, colour in LIGHT.items():
        svg = svg.replace(f"var({variable})", colour)
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    style = f'{names} style="background:{LIGHT["--paper"]}"'
    return svg.replace("<svg ", f"<svg {style} ", 1)
