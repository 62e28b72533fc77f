"""What rank 0 tells while it trains: JSON lines in a file, which the driver follows and which become the curves."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from hone.tasks.contracts import Curve
from hone.tasks.model.training.trainable import TrainingEvent
from hone.tasks.store import write_text

EVENTS = "events.jsonl"
TAIL_BYTES = 256


class EventLog:
    """The file, as rank 0 writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def truncate_after(self, step: int) -> None:
        """Drops what was said after a step, half-written lines included: training goes on from there."""
        kept = [event for event in read_events(self._path) if event.step <= step]
        write_text(self._path, "".join(_line(event) for event in kept))

    def append(self, event: TrainingEvent) -> None:
        """Adds an event, in one write."""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(_line(event))


class EventTail:
    """The file, as the driver reads it while it grows: only what is new, unless it was written anew. Each number of
    each step is told once, also when a worker died and its successor says it again."""

    def __init__(self, path: Path, tell: Callable[[TrainingEvent], None]) -> None:
        self._path = path
        self._tell = tell
        self._told: set[tuple[int, str]] = set()
        self._read = 0
        """Bytes of whole lines behind it, and the last of them, by which the file is known again."""
        self._tail = b""

    def poll(self) -> None:
        """Tells what is new since the last look."""
        for event in self._new():
            new = {name: value for name, value in event.values.items() if (event.step, name) not in self._told}
            self._told |= {(event.step, name) for name in new}
            if new or (not event.values and (event.step, event.note) not in self._told):
                self._told.add((event.step, event.note))
                self._tell(dataclasses.replace(event, values=new))

    def _new(self) -> list[TrainingEvent]:
        """A successor, or a bucket, puts another file in the place of this one, with the same beginning or not."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as stream:
            stream.seek(self._read - len(self._tail))
            if stream.read(len(self._tail)) != self._tail:
                self._read, self._tail = 0, b""
                stream.seek(0)
            lines = stream.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read += len(whole)
        self._tail = (self._tail + whole)[-TAIL_BYTES:]
        return list(_events(whole.decode("utf-8")))


def read_events(path: Path) -> list[TrainingEvent]:
    """All events of a file, in the order in which they were written; [] where there is no file."""
    return list(_events(path.read_text(encoding="utf-8"))) if path.exists() else []


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


def _events(lines: str) -> Iterator[TrainingEvent]:
    for line in lines.splitlines(keepends=True):
        if line.endswith("\n"):  # a worker that is writing, or was killed while it wrote, leaves half a line
            yield TrainingEvent(**json.loads(line))
