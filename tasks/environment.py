"""Environment variables that hold for a while.

The environment is the process's own, so whoever changes it for a while does so one thread at a time: of two runs in one
process neither sees, nor puts back, what the other has set.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_changing = threading.RLock()


@contextmanager
def temporary_variables(values: Mapping[str, str | None]) -> Iterator[None]:
    """Sets environment variables, or takes those away whose value is None, and puts back what there was.

    Others who do the same, or read with `lasting_variable`, wait meanwhile. Everybody else sees the values, and the
    processes that are started meanwhile keep them.
    """
    with _changing:
        before = {name: os.environ.get(name) for name in values}
        _set(values)
        try:
            yield
        finally:
            _set(before)


def lasting_variable(name: str) -> str:
    """A variable as it is when no other thread has set it for a while; empty where there is none."""
    with _changing:
        return os.environ.get(name, "")


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
