"""What every test may count on: quiet offline engines whose state lies in the test session's own folder."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from hone.flows.environment import prepare_environment
from hone.tasks.tracking import server

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
prepare_environment()
LONG = {"test_chain", "test_deploy", "test_servers", "test_quickstart", "test_cluster", "test_two_runs", "test_retrain"}


TOGETHER = {
    "tests/export/": "exports",
    "tests/evaluate/test_locate.py": "exports",
    "tests/evaluate/": "models",
    "tests/model/test_predict.py": "models",
    "tests/probe/test_chats.py": "writers",
    "tests/probe/test_documents.py": "writers",
    "tests/register/": "registry",
    "tests/promote/": "registry",
    "tests/flows/test_approval.py": "registry",
    "tests/flows/test_quickstart.py": "chains",
    "tests/flows/test_retrain.py": "chains",
}
"""Files and folders whose tests share what takes long to make, and so a process."""


class Grouped(LoadScopeScheduling):
    """A file's tests, and those of what belongs together, go to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return next(
            (group for place, group in TOGETHER.items() if nodeid.startswith(place)), nodeid.split("::", maxsplit=1)[0]
        )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """By group, which pytest 9 no longer hears from marks."""
    return Grouped(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes come first, so that none of them is left to one process at the end."""
    items.sort(key=lambda item: Path(item.path).stem not in LONG)


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


@pytest.fixture(scope="session")
def prefect_server(_own_homes: None) -> Iterator[None]:
    """One Prefect for all flows that this process runs itself."""
    from hone.flows.local_server import prefect_api

    with prefect_api():
        yield


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bucket `team` in a store whose protocol is a folder's; `make test-servers` has a real one. `s3://team/x` is
    `<bucket>/x`, and this machine's mirrors lie in `<tmp_path>/mirror`."""
    from pyarrow import fs

    from hone.tasks import storage

    (tmp_path / "store" / "team").mkdir(parents=True)
    monkeypatch.setenv("HONE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setattr(
        storage, "filesystem", lambda: fs.SubTreeFileSystem(str(tmp_path / "store"), fs.LocalFileSystem())
    )
    return tmp_path / "store" / "team"


@pytest.fixture(scope="module")
def works_here(_records_of_its_own: None) -> Iterator[None]:
    """Training and timing in this process, by the functions that Ray's workers and the timing processes call: for what
    is about other things than these, whose start takes longer than what they do. (`tests/flows/test_chain.py` has
    both.)"""
    import torch

    from hone.tasks import cluster
    from hone.tasks.evaluate import latency
    from hone.tasks.evaluate.timing_worker import run_benchmark
    from hone.tasks.model.training import loop

    def measure(_name: str, order: latency.BenchmarkRequest, _limit_seconds: float | None = None) -> latency.Timing:
        threads = torch.get_num_threads()
        try:
            return latency.Timing(**run_benchmark(dataclasses.asdict(order)))
        finally:
            torch.set_num_threads(threads)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "start", lambda *_: None)
        patch.setattr(cluster, "train", lambda job, *_: loop.run(job) or loop.read_result(job))
        patch.setattr(latency, "measure", measure)
        yield


@pytest.fixture(autouse=True, scope="module")
def _records_of_its_own() -> Iterator[None]:
    """What a module tracked leads no other module to its records."""
    yield
    forget_records()


def forget_records() -> None:
    """What was tracked so far leads nobody to its records."""
    server._place.set(None)
