"""One MLflow database for all tests of the session, made by whichever comes first."""

from pathlib import Path

import pytest

from hone.tasks import tracking
from hone.tasks.tracking import server


@pytest.fixture
def storage(session_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A storage whose database exists; records go there until the test ends."""
    folder = session_folder / "storage of the tests"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking.configure(folder)
    server.client()
    return folder
