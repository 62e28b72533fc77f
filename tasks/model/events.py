"""What rank 0 tells while it trains: JSON lines in a file, which the driver follows and which become the curves."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from tasks.contracts import Curve
from tasks.model.learner import TrainingEvent
from tasks.store import write_text

EVENTS = "events.jsonl"


class EventLog:
    """The file, as rank 0 writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep_until(self, step: int) -> None:
        """Drops what was said after a step, half-written lines included: training goes on from there."""
        kept = [event for event in read_events(self._path) if event.step <= step]
        write_text(self._path, "".join(_line(event) for event in kept))

    def append(self, event: TrainingEvent) -> None:
        """Adds an event, in one write."""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(_line(event))


class Follower:
    """The file, as the driver reads it while it grows. Each number of each step is told once, also when a worker
    died and its successor says it again."""

    def __init__(self, path: Path, tell: Callable[[TrainingEvent], None]) -> None:
        self._path = path
        self._tell = tell
        self._told: set[tuple[int, str]] = set()
        self._file: tuple[int, int] = (0, 0)

    def look(self) -> None:
        """Tells what is new since the last look."""
        if not self._path.exists():
            return
        status = self._path.stat()
        if (status.st_ino, status.st_size) == self._file:
            return
        self._file = (status.st_ino, status.st_size)
        for event in read_events(self._path):
            new = {name: value for name, value in event.values.items() if (event.step, name) not in self._told}
            self._told |= {(event.step, name) for name in new}
            if new or (not event.values and (event.step, event.note) not in self._told):
                self._told.add((event.step, event.note))
                self._tell(dataclasses.replace(event, values=new))


def read_events(path: Path) -> list[TrainingEvent]:
    """All events of a file, in the order in which they were written; [] where there is no file."""
    return list(_events(path)) if path.exists() else []


def curves(path: Path) -> list[Curve]:
    """One curve for each number that was told, sorted by name."""
    found: dict[str, Curve] = {}
    for event in read_events(path):
        for name, value in event.values.items():
            curve = found.setdefault(name, Curve(name=name, steps=[], values=[]))
            curve.steps.append(event.step)
            curve.values.append(value)
    return [found[name] for name in sorted(found)]


def _line(event: TrainingEvent) -> str:
    return json.dumps(dataclasses.asdict(event)) + "\n"


def _events(path: Path) -> Iterator[TrainingEvent]:
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):  # a worker that is writing, or was killed while it wrote, leaves half a line
            yield TrainingEvent(**json.loads(line))
