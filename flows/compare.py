"""`hone compare`: two runs side by side, by what their reports say."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hone.flows.shell import print_error
from hone.tasks import tracking
from hone.tasks.errors import HoneError, PreflightError
from hone.tasks.report import wording
from hone.tasks.report.compare import Comparison, Fact, Number, Stage, compare
from hone.tasks.report.format import Report, parse_report

RUN_ID = re.compile(r"[0-9a-f]{32}")
PLAIN_WIDTH = 160
NAMES = {
    "size_bytes": "size",
    "speedup": "speed-up",
    "speedup_per_core": "speed-up per core",
    "p50_ms": "p50",
    "mlflow_run_id": "MLflow run",
}
STATUS = {"cached": "reused", "": wording.MISSING}
COLOURS = {"ACCEPTED": "green", "REJECTED": "red", "INCONCLUSIVE": "yellow"}
LEGEND = "difference: second less first, in percentage points of what is a share; × is second divided by first"


def run_compare(first: str, second: str, as_json: bool, storage: str, console: Console, out: TextIO) -> str:
    """Prints how two runs differ: verdict, settings, stages, and the selected models' numbers.

    Args:
        first, second: a run's folder, its report.json, or its id in MLflow.
        as_json: one JSON object into `out` instead of the table.

    Returns:
        DONE, INVALID where one of them is no run that came to a verdict, or FAILED where MLflow does not answer.
    """
    try:
        found = compare(*(find_report(run, Path(storage).expanduser()) for run in (first, second)))
    except HoneError as error:
        return print_error(error)
    if as_json:
        out.write(json.dumps(dataclasses.asdict(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        return "DONE"
    if not console.is_terminal:
        console.width = max(console.width, PLAIN_WIDTH)  # in a file or a pipe nothing is gained by narrow columns
    console.print(comparison_table(found, first, second))
    for caution in found.cautions:
        console.print(f"note: {caution}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(LEGEND, style="dim", markup=False, highlight=False, soft_wrap=True)
    return "DONE"


def find_report(run: str, storage: Path) -> Report:
    """The report of the run that a person named.

    Raises:
        PreflightError: when there is none, or none that this Hone can read.
        RegistryError: when MLflow does not answer.
    """
    path = Path(run).expanduser()
    places = [path, path / "report.json", path / "latest" / "report.json"]
    file = next((place for place in places if place.is_file()), None)
    try:
        if file is not None:
            return parse_report(file.read_text(encoding="utf-8"), run)
    except (OSError, UnicodeDecodeError) as error:
        raise PreflightError(f"{file}: it cannot be read: {error}") from error
    if path.is_dir():
        raise PreflightError(f"{run}: a folder without a report.json: name one that a run wrote, as runs/NAME/latest")
    if not RUN_ID.fullmatch(run):
        raise PreflightError(
            f"{run}: neither a run's folder or report.json, as runs/NAME/latest, nor the id of a run in MLflow, which "
            "has 32 hex digits: `ls runs/*` shows the folders, and each report.json has its mlflow_run_id"
        )
    tracking.configure_existing(storage)
    return parse_report(tracking.report(run), run)


def comparison_table(found: Comparison, first: str, second: str) -> Table:
    """For the terminal: a block each for the runs, the verdicts, the settings, the stages and the numbers."""
    table = Table(box=box.SIMPLE, pad_edge=False, header_style="dim", show_edge=False)
    table.add_column("")
    for head in (first, second):
        table.add_column(Text(head), overflow="fold")
    table.add_column("difference", no_wrap=True)
    blocks = [
        [_fact_row(fact) for fact in found.runs if (fact.first, fact.second) != (None, None)],
        [_fact_row(fact) for fact in found.verdicts],
        [_fact_row(fact) for fact in found.settings] or [["settings", "", "", "all the same"]],
        [_stage_row(stage) for stage in found.stages],
        [_number_row(number) for number in found.numbers],
    ]
    for block in blocks:
        for row in block:
            table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
        table.add_section()
    return table


def _fact_row(fact: Fact) -> list[str]:
    same = "same" if fact.first == fact.second else ""
    return [NAMES.get(fact.name, wording.words(fact.name)) if "." not in fact.name else fact.name,
            _value(fact.first), _value(fact.second), same]  # fmt: skip


def _value(value: Any) -> str:
    if value is None:
        return wording.MISSING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _stage_row(stage: Stage) -> list[str]:
    def told(status: str, seconds: float | None) -> str:
        took = f" in {wording.duration(seconds)}" if status == "ran" and seconds is not None else ""
        return f"{STATUS.get(status, status)}{took}"

    same = {True: "same result", False: "another result", None: ""}[stage.same_result]
    first, second = told(stage.first, stage.first_seconds), told(stage.second, stage.second_seconds)
    return [f"stage {stage.name}", first, second, same]


def _number_row(number: Number) -> list[str]:
    name = NAMES.get(number.name) or wording.METRICS.get(number.name) or wording.words(number.name)
    name = f"{name} {number.cell}".rstrip()
    values = [_measured(value, number.unit) for value in (number.first, number.second)]
    if number.difference is None:
        return [name, *values, ""]
    if number.unit == "share":
        return [name, *values, f"{wording.signed_points(number.difference)} points"]
    return [name, *values, wording.factor(number.ratio) if number.ratio else f"{number.difference:+.4g}"]


def _measured(value: float | None, unit: str) -> str:
    if value is None:
        return wording.MISSING
    if unit == "ms":
        return f"{wording.milliseconds(value)} ms"
    return wording.measured(value, unit)
