"""Registered versions of a tiny model, as the register stage leaves them, without a pipeline around them."""

import re
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hone.tasks import store, tracking
from hone.tasks.contracts import SessionSettings
from hone.tasks.register import serving
from hone.tasks.tracking import files, server
from tests.register.conftest import (
    _probe_the_same_files_once,
    chain,
    model_folder,
    storage,
    write_model,
    write_requests,
)

__all__ = ["_probe_the_same_files_once", "chain", "model_folder", "storage"]


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
    model = write_model(folder / "exported")
    golden = write_requests(folder / "golden.json", model, [0, 2, 4, 5, 7])
    with tracking.pipeline_run("promotion", {}, {}) as run_id:
        session = SessionSettings(providers=["cpu"], threads=1, memory_arena=True)
        source, root = serving.log(run_id, model, golden, session, folder / "room")
    kept = server.client().get_logged_model(source.removeprefix("models:/")).artifact_location
    tags = {
        "hone.verdict": "ACCEPTED",
        "hone.evidence": "e" * 24,
        "hone.pipeline_run_id": run_id,
        "hone.model_digest": store.folder_digest(model),
        **files.to_tag(files.digests_of(root)),
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
