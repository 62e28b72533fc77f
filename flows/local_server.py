"""Prefect's API for a command that no server records: a process of its own beside it, on Prefect's database.

Prefect would start one itself. For that it imports the whole server into the command's own process too, which takes a
third of the processor time of a run that finds everything done.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import prefect
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from hone.flows.database import prepare_prefect_database, server_address
from hone.tasks.errors import PreflightError

HOST = "127.0.0.1"
START_SECONDS = 120.0
STOP_SECONDS = 5.0
ANSWER_SECONDS = 5.0
POLL_SECONDS = 0.1
PORT_TAKEN = 3
"""Exit code of uvicorn that cannot listen."""
ATTEMPTS = 3


@contextlib.contextmanager
def prefect_api() -> Iterator[None]:
    """A Prefect that records what runs inside: the server that is named, that of a block around this one, or one that
    lives as long as this block.

    Raises:
        PreflightError: when Prefect's database cannot be used, or no server comes up on it.
    """
    if server_address() or PREFECT_API_URL.value():
        yield
        return
    prepare_prefect_database()
    server, url = _start()
    try:
        with temporary_settings({PREFECT_API_URL: url}):
            yield
    finally:
        for told in (APILogWorker, EventsWorker):  # what their threads still hold has to reach the server first
            told.drain_all(timeout=STOP_SECONDS, at_exit=False)
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _start() -> tuple[subprocess.Popen[bytes], str]:
    """A server that answers, and its address."""
    for _ in range(ATTEMPTS):
        port = _free_port()
        server, url = _spawn(port), f"http://{HOST}:{port}/api"
        deadline = time.monotonic() + START_SECONDS
        with httpx.Client(
            trust_env=False, verify=False, timeout=ANSWER_SECONDS
        ) as client:  # loopback: no TLS, no proxy
            while server.poll() is None and time.monotonic() < deadline:
                if _answers(client, url):
                    return server, url
                time.sleep(POLL_SECONDS)
        server.kill()
        if server.wait() != PORT_TAKEN:
            break
    raise PreflightError(
        f"Prefect's own server did not come up within {START_SECONDS:g} s: `prefect server start` shows why; a server "
        "that runs already is used where PREFECT_API_URL names it"
    )


def _spawn(port: int) -> subprocess.Popen[bytes]:
    """As Prefect starts it: without its page, and without what only a server for many has to do."""
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(Path(prefect.__file__).parent.parent)]
    command += ["--factory", "prefect.server.api.server:create_app"]
    command += ["--host", HOST, "--port", str(port), "--log-level", "error", "--lifespan", "on"]
    own = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    return subprocess.Popen(command, env={**os.environ, **own, **settings})


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/health").is_success
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
