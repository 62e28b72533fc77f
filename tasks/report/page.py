"""`report.html`: one file with nothing fetched from outside, made from `report.json` alone."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from hone.tasks.report import intervals, plots, wording
from hone.tasks.report.lines import lines_of_checks, unresolved
from hone.tasks.report.narrow import label_cells
from hone.tasks.report.waterfall import waterfall

TEMPLATE = "page.html.j2"
# Beyond this many labels a confusion matrix is no longer read, and its largest entries are listed instead.
MOST_LABELS = 12
MOST_CONFUSIONS = 10
COUNTED = ("entities", "texts", "questions")
"""How many a part of the answers has, by what it is a part of."""
Report = dict[str, Any]


def render_page(report: Report, drawn: plots.Drawn | None = None) -> str:
    """The whole page as HTML.

    Args:
        drawn: its plots, where they are drawn already.
    """
    drawn = drawn or plots.draw(report)
    candidates = {candidate["name"]: candidate for candidate in report["candidates"]}
    checks = [check for check in [*report["checks"], *report["slices"]] if check["decides"]]
    baseline = candidates[report["baseline"]]
    page = _template().render(
        report=report,
        cell=wording.headline_cell(report["candidates"]),
        primary=wording.metrics(report)[0],
        kind=wording.kind(report),
        selected=candidates[report["selected"]],
        baseline=baseline,
        reference=candidates[report["reference"]],
        deciding=checks,
        unresolved=unresolved(report),
        lines=lines_of_checks(report["checks"]),
        differences=intervals.span([check for check in report["checks"] if check["name"].endswith("_difference")]),
        slice_points=intervals.span([check for check in report["slices"] if check["decides"]] or report["slices"]),
        parity={check["subject"]: check for check in report["checks"] if check["name"] == "parity"},
        reasons={stage["name"]: stage["reason"] for stage in report["stages"]},
        grid=[wording.cell_of(latency) for latency in baseline["latency"]],
        configurations=configurations(baseline),
        confusion=confusion(candidates[report["selected"]]["confusion"], report["data"]["labels"]),
        parts=parts_of(candidates[report["selected"]], candidates[report["reference"]], report["data"]["labels"]),
        scatter=drawn.scatter,
        waterfall=waterfall(report),
        curves=drawn.curves,
        recipe=yaml.safe_dump(report["recipe"], sort_keys=False, allow_unicode=True),
    )
    return label_cells(page)


@cache
def _template() -> Template:
    """Compiled once in a process."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"wording": wording, "intervals": intervals, "spread": spread}
    return environment.get_template(TEMPLATE)


def configurations(candidate: dict[str, Any]) -> dict[str, list[str]]:
    """Shapes by what ran them, where that is not the same in every cell or is told: `fp32, 2 threads` -> 1×16, 1×32."""
    result: dict[str, list[str]] = {}
    for latency in candidate["latency"]:
        if latency["configuration"]:
            result.setdefault(latency["configuration"], []).append(wording.cell_title(wording.cell_of(latency)))
    return result


def spread(candidate: dict[str, Any]) -> float | None:
    """Largest distance between the medians of two rounds of one cell, as a share of that cell's median."""
    found = [
        (max(latency["round_p50_ms"]) - min(latency["round_p50_ms"])) / latency["p50_ms"]
        for latency in candidate["latency"]
        if len(latency["round_p50_ms"]) > 1 and latency["p50_ms"]
    ]
    return max(found, default=None)


def parts_of(
    selected: dict[str, Any], reference: dict[str, Any], labels: list[str]
) -> list[tuple[str, dict[str, float], dict[str, float]]]:
    """Name of each part of the answers, such as a label, a type of entity or a kind of question, with the metrics of
    both models there; of most first. Nothing where one of the two has none, or where reports are from before there were
    parts."""
    own, other = selected.get("parts") or {}, reference.get("parts") or {}
    found = [
        (labels[int(label)].removeprefix("B-" if "entities" in measured else ""), measured, other[label])
        for label, measured in own.items()
        if label in other and int(label) < len(labels)
    ]
    return sorted(found, key=lambda part: -next((part[1][name] for name in COUNTED if name in part[1]), 0.0))


def confusion(counts: list[list[int]], labels: list[str]) -> dict[str, Any]:
    """The matrix, and the most frequent mistakes: true label, predicted label, rows, share of the true label's rows."""
    mistakes = [
        (labels[true], labels[predicted], rows, rows / sum(row))
        for true, row in enumerate(counts)
        for predicted, rows in enumerate(row)
        if true != predicted and rows
    ]
    mistakes.sort(key=lambda mistake: -mistake[2])
    shares = [[rows / max(1, sum(row)) for rows in row] for row in counts]
    return {
        "labels": labels,
        "counts": counts,
        "shares": shares,
        "as_matrix": 0 < len(counts) <= MOST_LABELS,
        "mistakes": mistakes[:MOST_CONFUSIONS],
    }
