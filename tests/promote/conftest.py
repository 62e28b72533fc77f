"""Registered versions of a tiny model, as the register stage leaves them, without a pipeline around them."""

import re
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from configs.recipe import parse_recipe
from tasks import store, tracking
from tasks.model.text import Rows
from tasks.probe.golden import choose_rows, read_golden, serving_settings, write_golden
from tasks.register import serving
from tasks.tracking import server
from tests.register.conftest import TEXTS, chain, model_folder, storage, write_model

__all__ = ["chain", "model_folder", "storage"]


@dataclass(frozen=True)
class Logged:
    """A logged model, and the tags of a version of it."""

    source: str
    run_id: str
    tags: dict[str, str]
    place: Path
    """Where MLflow keeps its files."""


def log_tiny_model(folder: Path) -> Logged:
    """Logs the tiny model with its golden requests."""
    model, golden = write_model(folder / "exported"), folder / "golden.json"
    recipe = parse_recipe({"data": {"train": "a.csv"}, "model": {"source": "a", "max_length": 8}})
    rows = choose_rows(Rows(TEXTS, None, np.zeros(len(TEXTS), np.int64)), 5)
    write_golden(golden, model, rows, serving_settings(recipe, model, has_pairs=False))
    with tracking.pipeline_run("promotion", {}, {}) as run_id:
        asked = read_golden(golden)
        files = {"model": model, "golden": golden}
        source = tracking.log_model(
            run_id, serving.CODE, files, settings=asked.settings, example=asked.rows[:1], requirements=["numpy"]
        )
    kept = server.client().get_logged_model(source.removeprefix("models:/")).artifact_location
    tags = {
        "hone.verdict": "ACCEPTED",
        "hone.evidence": "e" * 24,
        "hone.pipeline_run_id": run_id,
        "hone.model_digest": store.folder_digest(model),
        "hone.golden_digest": f"sha256:{store.file_digest(golden)}",
    }
    return Logged(source, run_id, tags, Path(urllib.request.url2pathname(urllib.parse.urlparse(kept).path)))


@pytest.fixture(scope="session")
def shared(session_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """A logged model that tests only read."""
    tracking.configure(session_folder / "storage of the tests")
    return log_tiny_model(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def logged(storage: Path, tmp_path: Path) -> Logged:
    """A logged model that one test may spoil."""
    return log_tiny_model(tmp_path)


@pytest.fixture
def model(storage: Path, shared: Logged, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Registers versions of a model that is named after the test, and returns its name."""
    name = re.sub("[^a-z]+", "-", request.node.name.lower())[-90:]

    def register(versions: int = 1, logged: Logged | None = None, **tags: str) -> str:
        made = logged or shared
        described = made.tags | {f"hone.{tag}": value for tag, value in tags.items()}
        for _ in range(versions):
            tracking.create_version(name, made.source, made.run_id, described, "")
        return name

    return register


def champion(name: str) -> str:
    """The version that is served; empty where none is."""
    found = tracking.version_at(name, "champion")
    return found.version if found else ""
