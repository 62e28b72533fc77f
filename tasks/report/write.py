"""The two files of a report, each written beside its place and renamed into it."""

import json
from pathlib import Path
from typing import Any

from hone.tasks import store


def write_files(folder: Path, report: dict[str, Any], page: str) -> None:
    """Writes `report.json`, for programs, and `report.html`, for people.

    Args:
        page: as `render_page` gives it; empty where it could not be rendered: then there is none.
    """
    store.write_text(folder / "report.json", json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    if page:
        store.write_text(folder / "report.html", page)
