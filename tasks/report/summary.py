"""The table a run ends with: each model's accuracy, size, latency and speed-up."""

from typing import Any

from rich.table import Table

from tasks.report import wording


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


def summary_markdown(report: dict[str, Any]) -> str:
    """The verdict, the table and the checks, for Prefect and MLflow."""
    heads, rows = summary_rows(report)
    for candidate, row in zip(report["candidates"], rows, strict=True):
        if candidate["name"] == report["selected"]:
            row[0] = f"**{row[0]}**"
    checks = [
        [
            wording.check_name(check),
            wording.measured(check["value"], check["unit"]),
            wording.check_demand(check),
            check["verdict"],
        ]
        for check in report["checks"]
    ]
    parts = [f"# {report['verdict']}: {report['selected']}", _markdown_table(heads, rows)]
    if checks:
        parts.append(_markdown_table(["check", "value", "asked", "verdict"], checks))
    return "\n\n".join(parts) + "\n"


def _markdown_table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
