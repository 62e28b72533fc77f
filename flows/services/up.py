"""What `hone up` does. Every wait has an end and says what to read."""

import contextlib
import fcntl
import os
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from hone.configs.recipe import Recipe
from hone.flows.services import processes
from hone.flows.services.health import free, healthy, holder
from hone.flows.services.keep import Keeper
from hone.flows.services.plan import Ports, Service, Site, plan, supervisor
from hone.flows.services.records import orphans, read_records
from hone.flows.services.state import runs, site_of, state_of
from hone.tasks.errors import HoneError, PreflightError

HEALTHY_SECONDS = 180.0
"""All of them take 15 s on two free cores."""
LOOK_SECONDS = 0.5
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_up(folder: str, ports: Ports, detach: bool, recipes: list[Recipe], console: Console) -> str:
    """Starts the servers, registers the deployments of the recipes and prints the addresses. Unless `detach`, stays
    until Ctrl-C, or until a server ends, and then stops them all; a worker that dies is started again. Where all of it
    runs already it only says so.

    Returns:
        DONE, FAILED where something did not come up or did not stay, INVALID where it cannot start here.
    """
    site = Site(Path(folder).expanduser().absolute(), ports)
    _install_signal_handlers()
    ours = False
    try:
        _prepare(site)
        with _exclusive_lock(site):
            if _runs_already(site):
                console.print("all of it runs already", markup=False, highlight=False)
                _print_summary(site, console)
                return "DONE"
            _clear(site, console)
            ours = True
            _start(site, recipes, console)
            if detach:
                processes.start(supervisor(site), site)
        _print_summary(site, console)
        if detach:
            console.print(
                f"stop them with: hone down{_folder_option(folder)}", markup=False, highlight=False, soft_wrap=True
            )
            return "DONE"
        console.print("Ctrl-C stops them", markup=False, highlight=False)
        return _watch(site, console)
    except KeyboardInterrupt:
        stopped = processes.stop(site.services) if ours else []
        console.print(f"stopped {', '.join(stopped)}" if stopped else "interrupted", markup=False, highlight=False)
        return "DONE" if stopped else "FAILED"
    except HoneError as error:
        from hone.flows.shell import print_error

        return print_error(error)


def _prepare(site: Site) -> None:
    """Makes the folder and Ray's token."""
    try:
        site.services.mkdir(parents=True, exist_ok=True)
        if not site.token.exists():
            with os.fdopen(os.open(site.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(secrets.token_hex(32))
    except OSError as error:
        raise PreflightError(
            f"{site.services}: cannot be made, and the servers' logs and records are to lie there ({error.strerror}): "
            "name another folder by --folder"
        ) from error


@contextlib.contextmanager
def _exclusive_lock(site: Site) -> Iterator[None]:
    """Keeps a second `hone up` of the folder out while this one starts."""
    with (site.services / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PreflightError(f"{site.folder}: another `hone up` is starting here; see `hone status`") from error
        yield


def _clear(site: Site, console: Console) -> None:
    """Stops what an earlier start left, and makes sure that the ports are free.

    Raises:
        PreflightError: naming the port, who has it and the option.
    """
    if read_records(site.services) or orphans(site.services):
        console.print("an earlier start left something behind: stopping it first", markup=False, highlight=False)
        processes.stop(site.services)
    wanted: dict[int, Service] = {}
    for service, port in [(service, service.port) for service in plan(site) if service.port is not None]:
        if port in wanted:
            raise PreflightError(
                f"port {port} is asked for by {wanted[port].name} and by {service.name}: change {wanted[port].option} "
                f"or {service.option}"
            )
        wanted[port] = service
    for port, service in wanted.items():
        if not free(port):
            raise PreflightError(
                f"port {port}, where {service.name} is to listen, is taken by {holder(port)}: stop that, or choose "
                f"another port, e.g. {service.option} {port + 1}"
            )


def _start(site: Site, recipes: list[Recipe], console: Console) -> None:
    """Brings everything up, or nothing: on any error what had started is stopped again."""
    *servers, worker = plan(site)
    try:
        console.print(f"starting {', '.join(service.name for service in servers)}", markup=False, highlight=False)
        for service in servers:
            processes.start(service, site)
        _await_healthy(servers, site)
        _register(site.client()["PREFECT_API_URL"], recipes, console)
        processes.start(worker, site)
        _await_healthy([worker], site)
    except BaseException:
        processes.stop(site.services)
        raise


def _register(api: str, recipes: list[Recipe], console: Console) -> None:
    """Ends what an earlier start left running, and deploys the recipes."""
    from hone.flows.deploy import connected, deploy
    from hone.flows.triggers import end_orphans

    with connected(api) as client:
        for name in end_orphans(client):
            console.print(
                f"{name} was running when its worker was stopped: it is ended now", markup=False, highlight=False
            )
    for made in deploy(api, recipes):
        console.print(f"deployed {made}", markup=False, highlight=False)


def _await_healthy(services: list[Service], site: Site) -> None:
    deadline, waiting = time.monotonic() + HEALTHY_SECONDS, list(services)
    while True:
        known = read_records(site.services)
        waiting = [service for service in waiting if not healthy(service, site)]
        if not waiting:
            return
        for service in waiting:
            if not runs(service, site, known):
                raise HoneError(f"{service.name} ended while it started. {_read(service, site)}")
        if time.monotonic() > deadline:
            raise HoneError(f"{waiting[0].name} does not answer after {HEALTHY_SECONDS:g} s. {_read(waiting[0], site)}")
        time.sleep(LOOK_SECONDS)


def _read(service: Service, site: Site) -> str:
    return f"Its log is {service.log(site)}, and ends with:\n{processes.last_lines(service.log(site))}"


def _watch(site: Site, console: Console) -> str:
    """Stays as long as the servers run; a worker that dies is started again."""
    *servers, worker = plan(site)
    keeper = Keeper(site, worker, lambda text: console.print(text, markup=False, highlight=False))
    while True:
        time.sleep(LOOK_SECONDS)
        known = read_records(site.services)
        if not known:
            console.print("stopped by `hone down`", markup=False, highlight=False)
            return "DONE"
        keeper.look(known)
        for service in servers:
            if service.name in known and not runs(service, site, known):
                processes.stop(site.services)
                raise HoneError(f"{service.name} ended, so the others were stopped. {_read(service, site)}")


def _runs_already(site: Site) -> bool:
    """Whether all of it is healthy on the ports that are asked for.

    Raises:
        PreflightError: where it is healthy on others: stopping it unasked could end somebody's run.
    """
    there = site_of(site.folder)
    known = read_records(site.services)
    if not all(state_of(service, there, known) == "healthy" for service in plan(there)):
        return False
    if there.ports != site.ports:
        raise PreflightError(
            f"{site.folder}: all of it runs already, on the ports {there.ports.prefect} (Prefect), "
            f"{there.ports.mlflow} (MLflow) and {there.ports.ray} (Ray): stop it by `hone down`, or name another "
            "folder by --folder"
        )
    return True


def _print_summary(site: Site, console: Console) -> None:
    lines = [
        f"Prefect  {site.prefect_url}   runs, forms, schedules",
        f"MLflow   {site.mlflow_url}   records, registry",
        f"Ray      {site.client()['RAY_ADDRESS']}          training",
        f"logs     {site.services}",
        "",
        "in other shells, for commands that are to use them:",
        *(f"  export {name}={value}" for name, value in site.client().items()),
    ]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _install_signal_handlers() -> None:
    """Ctrl-C counts also where a shell started this in the background, with it switched off; SIGTERM and a closed
    terminal count as Ctrl-C. What is started here gets none of that: a handler does not outlive exec."""

    def interrupt(_number: int, _frame: Any) -> None:
        for number in INTERRUPTS:
            signal.signal(number, signal.SIG_IGN)  # stopping takes seconds, and half of it helps nobody
        raise KeyboardInterrupt

    for number in INTERRUPTS:
        signal.signal(number, interrupt)


def _folder_option(folder: str) -> str:
    return "" if folder == ".hone" else f" --folder {folder}"
