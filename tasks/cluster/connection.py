"""Connects to Ray: to the cluster that RAY_ADDRESS names, else to one that is started on this machine."""

import logging
import os
import shutil
import socket
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from hone.tasks.cores import usable_cores
from hone.tasks.environment import temporary_variables
from hone.tasks.errors import PreflightError
from hone.tasks.ray_folder import short_folder
from hone.tasks.ray_start import keep_to_this_machine
from hone.tasks.version import import_folder

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.3",  # 2.0 by default: what a start and a death wait for
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",  # for a cluster that others keep busy
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what Ray would print here: a worker's death is told by its successor
}
TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
TOKEN_FILE = Path("~/.ray/auth_token")
OBJECT_STORE_BYTES = 128 * 1024**2  # jobs are a few kilobytes, and data goes through files
CODE = import_folder()
PROBE_SECONDS = 5.0
START_ATTEMPTS = 3
"""Of a local Ray, whose processes a busy machine may keep from starting within Ray's own limit of 30 s."""

_lock = threading.Lock()
"""Of what follows: Ray knows one cluster a process, so all runs of this one share it."""
_holds = 0
"""Connections that are open; the Ray that was started here ends with the last."""
_leave: threading.Event | None = None
"""Ends the thread that keeps the connection."""
_started_here = False
"""Whether it is to a Ray that was started for the runs of this process."""
_short_folder: Path | None = None
"""Of the Ray that was started here, where the usual one has too long a name."""


class Connection:
    """A run's hold on the Ray of this process: it is there until every run that holds it has let go."""

    def __init__(self) -> None:
        self._held = False
        self._closed = False

    def open(self) -> None:
        """Connects to the cluster that RAY_ADDRESS names, else starts a local one, unless another run has."""
        global _holds
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        token = any(os.environ.get(name) for name in TOKEN_VARIABLES) or TOKEN_FILE.expanduser().is_file()
        if os.environ.get("RAY_ADDRESS") and token:  # by default Ray shows its token to local clusters alone
            os.environ.setdefault("RAY_AUTH_MODE", "token")
        with _lock:
            if not self._held:
                try:
                    _connect()
                except BaseException:
                    if not _holds:  # what a start that failed left behind
                        _disconnect()
                    raise
                _holds += 1
                self._held = True
            if self._closed:  # the run ended while Ray was starting
                self._release()

    def close(self) -> None:
        """Lets go, for good; ends Ray if it was started here and nobody else holds it."""
        self._closed = True
        if self._held:
            with _lock:
                self._release()

    def is_last(self) -> bool:
        """Whether Ray, started here, ends with this hold."""
        return self._held and _holds == 1 and _started_here

    def _release(self) -> None:
        global _holds
        if self._held:
            self._held = False
            _holds -= 1
            if _holds == 0:
                _disconnect()


def named() -> str:
    """The cluster that RAY_ADDRESS names; empty where a run starts a Ray of its own."""
    address = os.environ.get("RAY_ADDRESS", "")
    return "" if address == "local" else address


def is_local() -> bool:
    """Whether Ray was started here, for the runs of this process alone."""
    return _started_here


def live_nodes() -> list[dict[str, float]]:
    """CPU, GPU and memory (bytes) of each node that is alive, as Ray counts them."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def last_line(failure: Exception) -> str:
    """Of what an engine wrote: there it says what happened."""
    return str(failure).strip().splitlines()[-1].strip()


def _connect() -> None:
    global _leave
    import ray  # reads the environment once, so nothing above may import it

    if ray.is_initialized():
        return
    connected, leave = Future[None](), threading.Event()
    threading.Thread(target=_keep, args=(connected, leave), name="ray", daemon=True).start()
    connected.result()
    _leave = leave


def _disconnect() -> None:
    global _leave, _short_folder, _started_here
    if _leave is not None:
        import ray

        ray.shutdown()
        _leave.set()
        _leave = None
    _started_here = False
    if _short_folder is not None:
        shutil.rmtree(_short_folder, ignore_errors=True)
        _short_folder = None


def _keep(connected: "Future[None]", leave: threading.Event) -> None:
    """Ray's local processes die with the thread that started them, so one thread lives as long as they are to."""
    try:
        _init()
    except Exception as failure:  # noqa: BLE001 - whatever it is, connect raises it
        connected.set_exception(failure)
        return
    connected.set_result(None)
    leave.wait()


def _init() -> None:
    import ray

    address = named()
    if not address:
        _start_local()
        return
    _probe(address)
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, job_config=_job_config())
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise PreflightError(
            f"RAY_ADDRESS = '{address}': no Ray cluster answers ({last_line(error)}); start one, or unset RAY_ADDRESS "
            "to train on this machine. A cluster with tokens needs its token here too, in RAY_AUTH_TOKEN or "
            f"{TOKEN_FILE}"
        ) from error


def _start_local() -> None:
    global _short_folder, _started_here
    import ray

    keep_to_this_machine()
    _short_folder = _short_folder or short_folder()
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            with temporary_variables({"RAY_ADDRESS": None}):
                ray.init(
                    address="local",
                    num_cpus=usable_cores(),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    object_store_memory=OBJECT_STORE_BYTES,
                    job_config=_job_config(),
                    _temp_dir=str(_short_folder) if _short_folder else None,
                )
        except Exception as error:  # Ray raises a bare one where its processes take more than 30 s to start
            ray.shutdown()
            if attempt == START_ATTEMPTS or "timed out" not in str(error):
                raise PreflightError(
                    f"Ray cannot be started on this machine: {last_line(error)}. Its logs lie in "
                    f"{_short_folder or Path(tempfile.gettempdir(), 'ray')}; TMPDIR names another place for them, and "
                    "RAY_ADDRESS a cluster that runs already"
                ) from error
        else:
            _started_here = True
            return


def _job_config() -> Any:
    """Workers find Hone's own code before anything of the folder that the driver was started in, which Ray would put
    first on their path: a project's own tasks.py would stand for the package."""
    from ray.job_config import JobConfig

    # As a client's job: for any other Ray appends the working folder.
    return JobConfig(_client_job=True, _py_driver_sys_path=[str(CODE)])


def _probe(address: str) -> None:
    """Ray waits for minutes for a cluster that is not there: this finds out in seconds."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise PreflightError(f"RAY_ADDRESS = '{address}': give it as HOST:PORT of the head node, e.g. 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise PreflightError(
            f"RAY_ADDRESS = '{address}': nothing listens there ({error}); start the cluster's head, or unset "
            "RAY_ADDRESS to train on this machine"
        ) from error
