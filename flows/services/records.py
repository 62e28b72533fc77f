"""The process files: who was started here, and whether it is still that process that has the number."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from hone.flows.services.plan import MARK

SAME_SECONDS = 2.0
"""Two readings of a process's start differ by less, even where the machine's clock was set in between."""


@dataclass(frozen=True)
class Record:
    """A process that was started."""

    name: str
    pid: int
    created: float
    """When it started, in seconds since 1970."""
    port: int | None = None

    def write(self, services: Path) -> None:
        """Puts the file `NAME.pid` in place."""
        beside = services / f"{self.name}.pid.new"
        beside.write_text(json.dumps(asdict(self)), encoding="utf-8")
        beside.rename(services / f"{self.name}.pid")


def read_records(services: Path) -> dict[str, Record]:
    """The process files by name. One that a crash or a person made unreadable counts as absent."""
    result = {}
    for path in sorted(services.glob("*.pid")):
        try:
            record = Record(**json.loads(path.read_text(encoding="utf-8")))
            result[record.name] = Record(record.name, int(record.pid), float(record.created), record.port)
        except (ValueError, TypeError, OSError):
            continue
    return result


def process_of(record: Record, services: Path) -> psutil.Process | None:
    """The process, if it still runs; None where it ended, or where the number is by now that of another, which started
    at another time or was not started from `services`."""
    try:
        process = psutil.Process(record.pid)
        same = abs(process.create_time() - record.created) < SAME_SECONDS
        # A process that is just coming up has no environment for a moment.
        ours = process.environ().get(MARK, "") == str(services) or not process.environ()
        return process if same and ours and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def orphans(services: Path) -> list[psutil.Process]:
    """Every process, other than this one and those above it, that was started from `services`, or by one that was.
    Another user's do not count."""
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [one for one in psutil.process_iter() if one.pid not in mine and _started_from(one, services)]


def forget(services: Path) -> None:
    """Takes the process files away."""
    for path in services.glob("*.pid"):
        path.unlink(missing_ok=True)


def _started_from(process: psutil.Process, services: Path) -> bool:
    """Whether the process's environment says so: it goes down from each to what it starts."""
    try:
        return process.environ().get(MARK) == str(services)
    except (psutil.Error, OSError):
        return False
