"""`report.html`: one file with nothing fetched from outside, made from `report.json` alone."""

from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.report import plots, wording

TEMPLATE = "page.html.j2"
# Beyond this many labels a confusion matrix is no longer read, and its largest entries are listed instead.
MOST_LABELS = 12
MOST_CONFUSIONS = 10
Report = dict[str, Any]


def render_page(report: Report) -> str:
    """The whole page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["wording"] = wording
    candidates = {candidate["name"]: candidate for candidate in report["candidates"]}
    cell = wording.headline_cell(report["candidates"])
    return environment.get_template(TEMPLATE).render(
        report=report,
        cell=cell,
        selected=candidates[report["selected"]],
        baseline=candidates[report["baseline"]],
        reference=candidates[report["reference"]],
        failed=[check for check in report["checks"] if check["verdict"] != "ACCEPTED"],
        grid=[(latency["batch"], latency["length"]) for latency in candidates[report["baseline"]]["latency"]],
        spread=spread,
        confusion=confusion(candidates[report["selected"]]["confusion"], report["data"]["labels"]),
        scatter=plots.accuracy_against_latency(report),
        bars=plots.size_and_latency(report),
        curves=plots.learning_curves(report),
        recipe=yaml.safe_dump(report["recipe"], sort_keys=False, allow_unicode=True),
    )


def spread(candidate: dict[str, Any]) -> float | None:
    """Largest distance between the medians of two rounds of one cell, as a share of that cell's median."""
    found = [
        (max(latency["round_p50_ms"]) - min(latency["round_p50_ms"])) / latency["p50_ms"]
        for latency in candidate["latency"]
        if len(latency["round_p50_ms"]) > 1 and latency["p50_ms"]
    ]
    return max(found, default=None)


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
