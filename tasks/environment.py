"""Environment variables that hold for a while."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def temporary_variables(values: Mapping[str, str | None]) -> Iterator[None]:
    """Sets environment variables, or takes those away whose value is None, and puts back what there was.

    All threads see them, and the processes that are started meanwhile keep them.
    """
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
