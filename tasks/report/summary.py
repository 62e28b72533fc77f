"""What a run ends with: each model's accuracy, size, latency and speed-up, and what was asked of the selected one."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from tasks.report import wording
from tasks.report.lines import Line, told, told_slices

COLOURS = {"ACCEPTED": "green", "REJECTED": "red", "INCONCLUSIVE": "yellow"}


def summary_rows(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows, all of it text, the candidates in their order."""
    cell = wording.headline_cell(report["candidates"])
    at = f" {cell[0]}x{cell[1]}" if cell else ""
    heads = ["model", "accuracy", "size", f"p50 ms{at}", "speed-up"]
    return heads, [
        [
            wording.model(candidate["name"]),
            wording.share(candidate["metrics"].get("accuracy")),
            wording.size(candidate["size_bytes"]),
            wording.milliseconds(wording.latency_at(candidate, cell)),
            wording.factor(candidate["speedup"]),
        ]
        for candidate in report["candidates"]
    ]


def summary_table(report: dict[str, Any]) -> Table:
    """For the terminal; the selected model stands out."""
    heads, rows = summary_rows(report)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left", no_wrap=True)
    for candidate, row in zip(report["candidates"], rows, strict=True):
        table.add_row(*row, style="bold" if candidate["name"] == report["selected"] else None)
    return table


def check_lines(report: dict[str, Any]) -> list[str]:
    """A line of rich markup for each check, several that are alike and accepted in one; below what is not accepted, why
    not and what would settle it. To be printed with `highlight=False`."""
    shown = []
    for line in _lines(report):
        shown.append(f"[{COLOURS[line.verdict]}]{wording.MARKS[line.verdict]}[/] {escape(line.text)}")
        if line.verdict != "ACCEPTED" and line.detail:
            shown.append(f"  [dim]{escape(line.detail)}[/]")
    return shown


def summary_markdown(report: dict[str, Any]) -> str:
    """The verdict, the table and the checks, for Prefect and MLflow."""
    heads, rows = summary_rows(report)
    for candidate, row in zip(report["candidates"], rows, strict=True):
        if candidate["name"] == report["selected"]:
            row[0] = f"**{row[0]}**"
    lines = _lines(report)
    parts = [f"# {report['verdict']}: {report['selected']}", _markdown_table(heads, rows)]
    if lines:
        cells = [[line.name, line.value, line.bound, line.asked, line.verdict] for line in lines]
        parts.append(_markdown_table(["check", "value", "bound", "asked", "verdict"], cells))
    parts += [f"{line.name}: {line.detail}." for line in lines if line.verdict != "ACCEPTED" and line.detail]
    return "\n\n".join(parts) + "\n"


def _lines(report: dict[str, Any]) -> list[Line]:
    return [*told(report["checks"]), *told_slices(report["slices"])]


def _markdown_table(heads: list[str], rows: list[list[str]]) -> str:
    cells = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
