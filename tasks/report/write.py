"""The two files of a report, each written beside its place and renamed into it."""

import json
from pathlib import Path
from typing import Any

from hone.tasks import store
from hone.tasks.report.page import render_page
from hone.tasks.report.plots import Drawn


def write_values(folder: Path, report: dict[str, Any]) -> None:
    """Writes `report.json`, for programs."""
    store.write_text(folder / "report.json", json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def write_page(folder: Path, report: dict[str, Any], drawn: Drawn | None = None) -> None:
    """Writes `report.html`, for people.

    Args:
        drawn: the plots, where they are drawn already.
    """
    store.write_text(folder / "report.html", render_page(report, drawn))
