"""What a run ends with: each model's quality, size, latency and speed-up, and what was asked of the selected one."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from hone.tasks.report import wording
from hone.tasks.report.lines import Line, lines_of_checks, slice_lines

FORM = (0, 1, 2, 5)
"""Columns that the form in which a person is asked has room for: model, quality, size and speed-up."""
COLOURS = {"ACCEPTED": "green", "REJECTED": "red", "INCONCLUSIVE": "yellow", "": "dim"}


def summary_rows(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows, all of it text, the candidates in their order."""
    cell, primary = wording.headline_cell(report["candidates"]), wording.metrics(report)[0]
    at = f" {cell}" if cell else ""
    heads = ["model", primary["title"], "size", f"p50 ms{at}", "from text", "speed-up", "per core"]
    return heads, [
        [
            wording.model(candidate["name"], candidate["runtime"]),
            wording.quality(candidate, primary),
            wording.size(candidate["size_bytes"]),
            # What has no tokenizer is timed from the text on alone.
            wording.milliseconds(
                wording.latency_at(candidate, cell) if candidate["runtime"] not in wording.BASELINES else None
            ),
            wording.milliseconds(wording.from_text_at(candidate, cell)),
            wording.factor(candidate["speedup"]),
            wording.factor(candidate["speedup_per_core"]),
        ]
        for candidate in report["candidates"]
    ]


def summary_table(report: dict[str, Any]) -> Table:
    """For the terminal; the selected model stands out."""
    heads, rows = summary_rows(report)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for index, head in enumerate(heads):
        table.add_column(head, justify="right" if index else "left", no_wrap=True)
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
        if note := _note(line, report):
            shown.append(f"  [dim]{note}[/]")
    if look := wording.look(report):
        shown.append(f"[dim]{look}[/]")
    return shown


def summary_markdown(report: dict[str, Any]) -> str:
    """The verdict, the checks and the table, for Prefect and MLflow; narrow enough for the form above which it stands
    when a person is asked."""
    all_heads, all_rows = summary_rows(report)
    heads, rows = [all_heads[column] for column in FORM], [[row[column] for column in FORM] for row in all_rows]
    for candidate, row in zip(report["candidates"], rows, strict=True):
        if candidate["name"] == report["selected"]:
            row[0] = f"**{row[0]}**"
    checks = [
        f"- {wording.MARKS[line.verdict]} {line.text}"
        + (f". {line.detail}." if line.verdict != "ACCEPTED" and line.detail else "")
        + (f" ({note})" if (note := _note(line, report)) else "")
        for line in _lines(report)
    ]
    heading = f"## {report['verdict']}: {report['selected']}"
    parts = [heading, "\n".join(checks), wording.look(report), _markdown_table(heads, rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _lines(report: dict[str, Any]) -> list[Line]:
    warnings = [Line("", warning) for warning in report.get("warnings", [])]
    return [*lines_of_checks(report["checks"]), *slice_lines(report["slices"]), *warnings]


def _note(line: Line, report: dict[str, Any]) -> str:
    """What else took the machine while it was timed, if that is worth a word."""
    load = report["machine"].get("background_load") or 0.0
    timed = line.check is not None and line.check["name"] in ("speedup", "speedup_per_core", "p95")
    return (
        f"other processes took {wording.share(load, 0)} of the machine meanwhile"
        if timed and load > wording.BUSY
        else ""
    )


def _markdown_table(heads: list[str], rows: list[list[str]]) -> str:
    cells = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
