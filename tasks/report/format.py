"""What programs may rely on in `report.json`, and how one is read."""

import json
from typing import Any

from hone.tasks.errors import PreflightError

FORMAT_VERSION = 1
"""Of `report.json`, where it stands as `format_version`. It rises by one when one of the keys below goes, gets another
name, or comes to hold something else or another unit. A key that is added leaves it as it is, and so does whatever
becomes of keys that are not listed. A report without it is from before it was counted, and holds what version 1
holds."""
KEYS = ("name", "verdict", "selected", "candidates", "checks", "stages", "machine", "data", "recipe")
"""Keys that programs may rely on."""
ENTRY_KEYS = {
    "candidates": ("name", "stage", "metrics", "size_bytes", "speedup", "latency"),
    "checks": ("name", "subject", "verdict", "value", "threshold", "unit", "direction", "low", "high", "decides"),
    "stages": ("name", "status", "reason", "seconds", "digest"),
}
"""The same of each entry of these; of a candidate's `latency`: batch, length, p50_ms, p95_ms and samples."""
Report = dict[str, Any]


def parse_report(text: str, where: str) -> Report:
    """The report that a `report.json` holds.

    Args:
        where: what a person calls it, for the message.

    Raises:
        PreflightError: when it is no report, or one of a newer format than this Hone knows.
    """
    try:
        report = json.loads(text)
    except ValueError as error:
        raise PreflightError(f"{where}: not JSON ({error}): name a report.json that a run of Hone wrote") from None
    if not isinstance(report, dict):
        raise PreflightError(f"{where}: JSON, but a {type(report).__name__}: name a report.json that a run wrote")
    version = report.get("format_version", FORMAT_VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise PreflightError(f"{where}: its format_version is {version!r}, and a report's is 1 or more")
    if version > FORMAT_VERSION:
        raise PreflightError(
            f"{where}: its format_version is {version}, and this Hone reads reports up to {FORMAT_VERSION}: read it "
            "with the Hone that wrote it, or a newer one"
        )
    if absent := _absent(report):
        raise PreflightError(
            f"{where}: no report of Hone's, or one from before reports had a version, as it lacks {', '.join(absent)}: "
            "name the report.json of another run, or run that one again"
        )
    return report


def _absent(report: Report) -> list[str]:
    absent = [key for key in KEYS if key not in report]
    for entries, keys in ENTRY_KEYS.items():
        found = report.get(entries, [])
        absent += [f"{entries}.{key}" for key in keys if any(key not in entry for entry in found)]
    return absent
