"""A tiny exported model, its golden requests, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from configs.recipe import parse_recipe
from tasks.model.text import Rows
from tasks.probe.golden import choose_rows, serving_settings, write_golden
from tests.register.conftest import PAIRS, TEXTS, model_folder

__all__ = ["model_folder"]


@pytest.fixture
def golden(model_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes the golden requests of the tiny model."""

    def write(pairs: bool = False) -> Path:
        recipe = parse_recipe({"data": {"train": "a.csv"}, "model": {"source": "a", "max_length": 8}})
        rows = Rows(TEXTS, PAIRS if pairs else None, np.zeros(len(TEXTS), np.int64))
        path = tmp_path / "golden.json"
        write_golden(path, model_folder, choose_rows(rows, 5), serving_settings(recipe, model_folder, pairs))
        return path

    return write
