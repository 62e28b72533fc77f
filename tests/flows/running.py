"""A running `hone up`, and what a person has to look at it and to ask of it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from hone.flows.services.plan import Site
from hone.flows.services.records import read_records
from tests.processes import training_workers

ROOT = Path(__file__).resolve().parents[2]
RUN_SECONDS = 900.0
BUSY, ATTEMPTS = 503, 5
"""Prefect's answer while its SQLite is locked, and how often it is asked."""


@dataclass
class Here:
    """A running `hone up`, the folder that it was called in, and a person's tools."""

    folder: Path
    site: Site

    def hone(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "PREFECT_HOME"}
        command = [sys.executable, "-m", "hone", *arguments]
        environment |= {"PYTHONPATH": str(ROOT), "HOME": str(self.folder)}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=900, check=False
        )

    def up(self) -> subprocess.CompletedProcess[str]:
        ports = self.site.ports
        chosen = [f"--prefect-port={ports.prefect}", f"--mlflow-port={ports.mlflow}", f"--ray-port={ports.ray}"]
        return self.hone("up", "--detach", *chosen)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Prefect's API: status and answer."""
        return ask(f"{self.site.prefect_url}/api{path}", method, body)

    def deployment(self, name: str) -> dict[str, Any]:
        status, found = self.ask("GET", f"/deployments/name/{name}")
        assert status == 200, found
        return found

    def run(self, deployment: str, parameters: dict[str, Any]) -> str:
        """Starts one and returns its id."""
        status, made = self.ask("POST", f"/deployments/{deployment}/create_flow_run", {"parameters": parameters})
        assert status == 201, made
        return str(made["id"])

    def state(self, run_id: str) -> dict[str, Any]:
        return self.ask("GET", f"/flow_runs/{run_id}")[1]["state"]

    def artifacts(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Of one flow run, by key."""
        wanted = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
        return {found["key"]: found for found in self.ask("POST", "/artifacts/filter", wanted)[1] if found["key"]}

    def tasks(self, run_id: str) -> list[str]:
        """Names of the tasks of a flow run, in the order of their start."""
        wanted = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return [found["name"].rpartition("-")[0] for found in self.ask("POST", "/task_runs/filter", wanted)[1]]

    def logs(self, run_id: str) -> list[str]:
        """What the run and its tasks have logged."""
        wanted = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
        return [found["message"] for found in self.ask("POST", "/logs/filter", wanted)[1]]

    def champion(self) -> str:
        """The version that MLflow's registry serves; empty where none is."""
        query = f"{self.site.mlflow_url}/api/2.0/mlflow/registered-models/alias?name=tiny&alias=champion"
        status, found = ask(query)
        return found["model_version"]["version"] if status == 200 else ""

    def until(self, look: Callable[[], Any], seconds: float = RUN_SECONDS) -> Any:
        """What `look` finds, as soon as it finds something."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < deadline, (self.site.services / "worker.log").read_text()[-5000:]
            time.sleep(0.5)
        return found


def ask(url: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
    """Status and answer; asks again where the server is busy, as Prefect's own client does."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    for attempt in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            answered = error.code, error.read().decode()
            if error.code != BUSY:
                break
            time.sleep(2**attempt)
    return answered


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def trainers(here: Here) -> list[psutil.Process]:
    return training_workers(read_records(here.site.services)["ray"].pid)
