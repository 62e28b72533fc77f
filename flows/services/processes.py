"""Starting the processes of a plan, and ending them with all that they started."""

import contextlib
import os
import subprocess
import time
from pathlib import Path

import psutil

from hone.flows.services.plan import SUPERVISOR, Service, Site
from hone.flows.services.records import Record, forget, orphans, process_of, read_records

GRACE_SECONDS = 10.0
"""For a flow run to tell Prefect and MLflow that it ends; then it is killed."""
KILL_SECONDS = 5.0


def start(service: Service, site: Site) -> Record:
    """Starts a process in a session of its own, so that a terminal's Ctrl-C reaches only `hone up`."""
    environment = {name: value for name, value in os.environ.items() if name not in service.without}
    with service.log(site).open("ab") as log:
        process = subprocess.Popen(
            service.command,
            env=environment | service.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    record = Record(service.name, process.pid, psutil.Process(process.pid).create_time(), service.port)
    record.write(site.services)
    return record


def stop(services: Path) -> list[str]:
    """Ends everything that was started from a folder, and returns the names of the services that still ran.

    First the worker, so that its runs can tell the servers; what does not end by itself is killed. Only processes are
    touched that were started from the folder, or by one that was. The process files go first: nobody who looks after
    the services is to take one that is stopped for one that died.
    """
    records = read_records(services)
    running = [record for record in records.values() if process_of(record, services) is not None]
    forget(services)
    first = [record for record in running if record.name in ("worker", SUPERVISOR)]
    _end(_with_descendants(first, services), GRACE_SECONDS)
    rest = [record for record in running if record not in first]
    _end([*_with_descendants(rest, services), *orphans(services)], GRACE_SECONDS)
    _end(orphans(services), 0.0)
    return [record.name for record in running if record.name != SUPERVISOR]


def last_lines(path: Path, count: int = 12) -> str:
    """The end of a log."""
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
    except OSError:
        return ""


def _with_descendants(records: list[Record], services: Path) -> list[psutil.Process]:
    result: list[psutil.Process] = []
    for record in records:
        process = process_of(record, services)
        if process is not None:
            with contextlib.suppress(psutil.Error):
                result += [process, *process.children(recursive=True)]
    return result


def _end(processes: list[psutil.Process], grace: float) -> None:
    """SIGTERM, and SIGKILL to those that are there after `grace` seconds."""
    unique = list(dict.fromkeys(processes))
    for process in unique if grace else []:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    deadline = time.monotonic() + grace
    alive = [process for process in unique if _alive(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(0.1)
        alive = [process for process in alive if _alive(process)]
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    deadline = time.monotonic() + KILL_SECONDS
    while any(_alive(process) for process in alive) and time.monotonic() < deadline:
        time.sleep(0.05)


def _alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not, and one of this very process's children is waited for, so that it goes."""
    with contextlib.suppress(psutil.Error):
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            return True
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return False
