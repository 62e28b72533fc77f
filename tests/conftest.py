"""What every test may count on: quiet offline engines whose state lies in the test session's own folder."""

import os
from pathlib import Path

import pytest

from flows.environment import prepare_environment

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
prepare_environment()


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all processes of the test session."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(autouse=True, scope="session")
def _own_homes(session_folder: Path) -> None:
    os.environ["PREFECT_HOME"] = str(session_folder / "prefect")
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    os.environ.pop("PREFECT_API_URL", None)
    os.environ.pop("RAY_ADDRESS", None)
