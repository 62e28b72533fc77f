"""What surrounds a flow that a command runs in its own process: quiet engines, no heartbeat, errors in a line."""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from hone.configs.recipe import RecipeError
from hone.tasks.errors import PreflightError

WIDE = 120
"""Columns of what goes into a file or a pipe, where a table is not to be cut."""


def console() -> Console:
    """What a command prints to: as wide as the terminal, or as COLUMNS says."""
    made = Console()
    return made if made.is_terminal or "COLUMNS" in os.environ else Console(width=WIDE)


@contextlib.contextmanager
def no_heartbeat() -> Iterator[None]:
    """The heartbeat tells a server's automations that a worker lives, and costs an embedded flow a second."""
    # Not at the top: commands without a flow print their errors from here, and Prefect takes a second to import.
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def silence_engines() -> None:
    """Keeps to themselves what the engines say to their own developers."""
    for name in ("torchao", "torch.utils._pytree", "torch.distributed.elastic", "ray", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"(torch|transformers|ray|mlflow|onnxscript)\b.*")
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)


def print_error(error: Exception) -> str:
    """Prints an error to stderr, as it is: what stands in brackets is the person's and no markup of ours.

    Returns:
        INVALID where the command named what is not there or cannot be used, else FAILED.
    """
    Console(stderr=True).print(Text(f"{type(error).__name__}: ", "red") + Text(str(error)), soft_wrap=True)
    return "INVALID" if isinstance(error, PreflightError | RecipeError) else "FAILED"
