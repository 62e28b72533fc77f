"""A tiny exported model, its golden requests, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.register.conftest import model_folder, write_model, write_requests

__all__ = ["model_folder"]


@pytest.fixture
def golden(model_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes the golden requests of the tiny model: five of them, the last one empty."""

    def write(pairs: bool = False) -> Path:
        write_model(model_folder, pairs=pairs)
        return write_requests(tmp_path / "golden.json", model_folder, [0, 2, 4, 5, 7], pairs)

    return write
