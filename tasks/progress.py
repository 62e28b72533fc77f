"""Who hears what the stages do: the terminal, Prefect's artifacts. The driver alone talks; workers write files.

Listeners belong to the flow of control that opened them (a `ContextVar`): of two runs in one process each hears its
own. Prefect's tasks inherit them, called or submitted; a thread that somebody starts does so through
`contextvars.copy_context().run`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from hone.tasks.contracts import StageRecord


class Listener(Protocol):
    """Hears of stages as they go."""

    def started(self, stage: str) -> None: ...

    def advanced(self, stage: str, done: float, total: float, note: str) -> None: ...

    def finished(self, record: StageRecord, headline: str) -> None: ...


_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Lets a listener hear every stage of this run until the block ends."""
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


def listeners() -> tuple[Listener, ...]:
    """Who hears this run, for whoever goes on in another thread."""
    return _listeners.get()


def started(stage: str) -> None:
    """Tells that a stage begins its work."""
    for listener in _listeners.get():
        listener.started(stage)


def finished(record: StageRecord, headline: str = "") -> None:
    """Tells what became of a stage, with the number a person would ask for first."""
    for listener in _listeners.get():
        listener.finished(record, headline)
