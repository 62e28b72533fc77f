"""Promotion, rollback and history from the terminal: what those commands do around their flows."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hone.flows.local_server import prefect_api
from hone.flows.shell import no_heartbeat, print_error, silence_engines
from hone.tasks import tracking
from hone.tasks.contracts import PromotionRecord
from hone.tasks.errors import HoneError
from hone.tasks.promote import change

COLOURS = {"took effect": "green", "lost": "red", "under way": "yellow", "interrupted": "red", "refused": "yellow"}
PLAIN_WIDTH = 160


def run_promote(name: str, version: str, override: str, storage: str, console: Console) -> str:
    """Makes a version the champion and prints the entry by which it is.

    Returns:
        DONE, FAILED where the champion stayed, or INVALID where there is no such model or version.
    """
    from hone.flows.promote import promote

    try:
        tracking.configure_existing(Path(storage).expanduser())
        change.find(name, version)
        made = _embedded(promote, name, version, override, storage=storage)
    except HoneError as error:
        return print_error(error)
    return _show(console, made)


def run_rollback(name: str, reason: str, storage: str, console: Console) -> str:
    """Makes the version before the champion again and prints the entry.

    Returns:
        As `run_promote`.
    """
    from hone.flows.promote import rollback

    try:
        tracking.configure_existing(Path(storage).expanduser())
        change.records(name)
        made = _embedded(rollback, name, reason, storage=storage)
    except HoneError as error:
        return print_error(error)
    return _show(console, made)


def run_history(name: str, storage: str, console: Console) -> str:
    """Prints every change of the champion. Writes nothing.

    Returns:
        DONE, or INVALID where there is no such model.
    """
    try:
        tracking.configure_existing(Path(storage).expanduser())
        found = change.records(name)
    except HoneError as error:
        return print_error(error)
    if not found:
        console.print(f"{name} never had a champion", markup=False, highlight=False)
        return "DONE"
    if not console.is_terminal:
        console.width = max(console.width, PLAIN_WIDTH)  # in a file or a pipe nothing is gained by narrow columns
    console.print(history_table(found))
    return "DONE"


def history_table(records: list[PromotionRecord]) -> Table:
    """One row for each entry, the oldest first. Times are UTC."""
    table = Table(box=box.SIMPLE)
    for heading in ("#", "when (UTC)", "action", "champion", "who", "verdict", "run", "reason", "outcome"):
        table.add_column(heading, justify="right" if heading == "#" else "left", overflow="fold")
    for record in records:
        table.add_row(
            str(record.number),
            record.when[:19].replace("T", " "),
            record.action,
            _step(record),
            Text(_who(record)),
            Text(record.verdict or "-"),
            record.run_id[:8] or "-",
            Text(record.reason or "-"),
            f"[{COLOURS[record.outcome]}]{record.outcome}[/]",
        )
    return table


def _embedded(flow: Any, *arguments: str, storage: str) -> PromotionRecord:
    silence_engines()
    with prefect_api(), no_heartbeat():
        made: PromotionRecord = flow(*arguments, storage=storage, return_state=True).result()
    return made


def _show(console: Console, made: PromotionRecord) -> str:
    console.print(
        f"{made.name}: version {made.to_version} is the champion (entry {made.number}: {made.action} {_step(made)}, "
        f"by {_who(made)}, {made.when})",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return "DONE"


def _who(record: PromotionRecord) -> str:
    if record.action == "outside":  # nobody said who it was
        return record.who
    return f"{record.who} ({f'known to {record.vouched_by}' if record.vouched_by else 'claimed'})"


def _step(record: PromotionRecord) -> str:
    return f"{record.from_version or 'none'} → {record.to_version or 'none'}"
