"""Who hears what the stages do: the terminal, Prefect's artifacts. The driver alone talks; workers write files."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tasks.contracts import StageRecord


class Listener(Protocol):
    """Hears of stages as they go."""

    def started(self, stage: str) -> None: ...

    def advanced(self, stage: str, done: float, total: float, note: str) -> None: ...

    def finished(self, record: StageRecord, headline: str) -> None: ...


_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Lets a listener hear everything until the block ends."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def started(stage: str) -> None:
    """Tells that a stage begins its work."""
    for listener in _listeners:
        listener.started(stage)


def advanced(stage: str, done: float, total: float, note: str = "") -> None:
    """Tells that `done` of `total` units of a stage's work are behind it."""
    for listener in _listeners:
        listener.advanced(stage, done, total, note)


def finished(record: StageRecord, headline: str = "") -> None:
    """Tells what became of a stage, with the number a person would ask for first."""
    for listener in _listeners:
        listener.finished(record, headline)
