"""The two files of a report."""

import json
from pathlib import Path
from typing import Any

from hone.tasks import store
from hone.tasks.report.page import render_page
from hone.tasks.report.plots import Drawn


def write_report(folder: Path, report: dict[str, Any], drawn: Drawn | None = None) -> None:
    """Writes `report.json` and `report.html`, each beside its place and renamed into it.

    Args:
        drawn: the plots, where they are drawn already.
    """
    store.write_text(folder / "report.json", json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    store.write_text(folder / "report.html", render_page(report, drawn))
