"""The drift as a table for people."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

HEADS = ["part", "before", "now", "stability index", "p", "drifted"]


def drift_rows(parts: list[dict[str, Any]]) -> list[list[str]]:
    """A row of text for each part, as `HEADS` says.

    Args:
        parts: plain `DriftPart`s.
    """
    return [
        [
            str(part["name"]).replace("_", " "),
            part["before"],
            part["now"],
            f"{part['index']:.3f}",
            "< 0.001" if part["p_value"] < 0.001 else f"{part['p_value']:.3f}",
            "yes" if part["drifted"] else "no",
        ]
        for part in parts
    ]


def drift_markdown(drift: Mapping[str, Any]) -> str:
    """The table with what was compared, or why nothing was.

    Args:
        drift: a plain `DriftReport`.
    """
    if not drift["parts"]:
        return f"Drift was not measured: {drift['record']['reason']}.\n"
    about = (
        f"{drift['rows']['now']:,} training rows held against {drift['rows']['before']:,} that {drift['name']} version "
        f"{drift['version']} learned from"
    )
    cells = [[cell.replace("|", r"\|") for cell in row] for row in drift_rows(drift["parts"])]
    lines = [HEADS, ["---"] * 3 + ["---:"] * 2 + ["---"], *cells]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"## Drift of the data\n\n{about}.\n\n{table}\n"


def drift_table(drift: Mapping[str, Any]) -> Table:
    """For the terminal; what drifted stands out.

    Args:
        drift: a plain `DriftReport`.
    """
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for head in HEADS:
        table.add_column(head, justify="right" if head in ("stability index", "p") else "left")
    for part, row in zip(drift["parts"], drift_rows(drift["parts"]), strict=True):
        table.add_row(*map(Text, row), style="bold" if part["drifted"] else None)
    return table
