"""The registered model behind real servers: `mlflow models serve`, and a tracking server instead of SQLite."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hone.tasks import tracking
from hone.tasks.model.runtime.runtime import Classifier
from hone.tasks.promote import change
from hone.tasks.tracking import server
from tests.register.conftest import TEXTS, Chain
from tests.register.test_register_task import register


@contextlib.contextmanager
def mlflow(*arguments: str, folder: Path, health: str, **environment: str) -> Iterator[str]:
    """A server of MLflow's on a free port; its URL once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *arguments, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            # As in an activated environment: MLflow starts uvicorn by its name.
            env=os.environ | environment | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                urllib.request.urlopen(f"{url}/{health}", timeout=5).close()
                break
            time.sleep(0.2)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_mlflow_models_serve_answers_a_list_of_sentences(chain: Callable[..., Chain], tmp_path: Path) -> None:
    made = chain()
    register(made)
    uri = f"models:/{made.recipe.name}@challenger"
    serve = ["models", "serve", "--model-uri", uri, "--env-manager", "local"]
    with mlflow(*serve, folder=tmp_path, health="ping", MLFLOW_TRACKING_URI=tracking.tracking_uri()) as url:
        answers = post(f"{url}/invocations", {"inputs": TEXTS})["predictions"]
    assert answers == Classifier(made.model).answers(TEXTS)


def test_a_tracking_server_takes_the_place_of_sqlite(
    chain: Callable[..., Chain], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination",
        str(tmp_path / "kept"),
    ]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    made = chain()
    with mlflow("server", *stores, "--workers", "1", folder=tmp_path, health="health", **quiet) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        assert tracking.check(tmp_path / "storage") == f"server, {url} (1 experiments)"
        assert tracking.configure(tmp_path / "storage") == url
        first, second = register(made), register(made)
        assert (first.record.status, second.record.status, second.version) == ("ran", "cached", "1")
        assert change.promote(first.name, "1", "me").outcome == "took effect"
        server.client().delete_registered_model_alias(first.name, "champion")
        assert change.roll_back(first.name, "me").to_version == "1"
        assert [record.action for record in change.records(first.name)] == ["promote", "outside", "rollback"]
        assert tracking.version_at(first.name, "champion").version == "1"  # type: ignore[union-attr]
    assert not (tmp_path / "storage").exists()
    assert list((tmp_path / "kept").rglob("model.onnx"))
