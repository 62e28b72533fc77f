"""How it stands with what `hone up` started: `hone status`, `hone down`, and who else asks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from hone.flows.services import processes
from hone.flows.services.health import healthy
from hone.flows.services.plan import Ports, Service, Site, plan
from hone.flows.services.records import Record, orphans, process_of, read_records

LEADS = {"PREFECT_API_URL": "prefect", "MLFLOW_TRACKING_URI": "mlflow", "RAY_ADDRESS": "ray"}
"""Variables that lead to a server, and to which; the others of a site belong to Ray."""


def run_status(folder: str, console: Console) -> str:
    """Prints each service with its process, its address and whether it answers.

    Returns:
        DONE where all of it is healthy, else FAILED.
    """
    site = site_of(Path(folder).expanduser().absolute())
    known = read_records(site.services)
    if not known:
        console.print(f"nothing was started from {site.folder}: hone up", markup=False, highlight=False)
        return "FAILED"
    outcome = "DONE"
    for service in plan(site):
        state = state_of(service, site, known)
        outcome = outcome if state == "healthy" else "FAILED"
        where = f"{site.prefect_url.rpartition(':')[0]}:{service.port}" if service.port else "-"
        where = where.removeprefix("http://") if service.name == "ray" else where
        pid = known[service.name].pid if service.name in known else "-"
        console.print(
            f"{service.name:<8} {state:<12} {where:<22} process {pid}  {service.log(site)}",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    return outcome


def run_down(folder: str, console: Console) -> str:
    """Stops whatever was started from the folder, and prints what that was.

    Returns:
        DONE, also where nothing ran; FAILED where something could not be stopped.
    """
    services = Site(Path(folder).expanduser().absolute()).services
    stopped = processes.stop(services)
    remaining = orphans(services)
    if remaining:
        numbers = ", ".join(str(process.pid) for process in remaining)
        console.print(f"these do not end, although they were killed: {numbers}", markup=False, highlight=False)
        return "FAILED"
    console.print(f"stopped {', '.join(stopped)}" if stopped else "nothing ran", markup=False, highlight=False)
    return "DONE"


def address_of(folder: str) -> str:
    """The URL of Prefect's API, where a `hone up` of that folder runs; else empty."""
    site = site_of(Path(folder).expanduser().absolute())
    record = read_records(site.services).get("prefect")
    running = record is not None and process_of(record, site.services) is not None
    return site.client()["PREFECT_API_URL"] if running else ""


def borrowed(folder: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables by which a command uses the servers that a `hone up` of the folder runs; without those that a
    person has set, and without any where none runs.

    Args:
        environment: of the command.
    """
    site = site_of(Path(folder).expanduser().absolute())
    known = read_records(site.services)
    *servers, _worker = plan(site)
    running = [service.name for service in servers if runs(service, site, known)]
    mine = {name: value for name, value in site.client().items() if LEADS.get(name, "ray") in running}
    if "RAY_ADDRESS" in environment:
        mine = {name: value for name, value in mine.items() if not name.startswith("RAY_")}
    return {name: value for name, value in mine.items() if name not in environment}


def runs(service: Service, site: Site, known: dict[str, Record]) -> bool:
    """Whether the service's process is there."""
    return service.name in known and process_of(known[service.name], site.services) is not None


def state_of(service: Service, site: Site, known: dict[str, Record]) -> str:
    """`healthy`, `no answer` or `not running`."""
    if not runs(service, site, known):
        return "not running"
    return "healthy" if healthy(service, site) else "no answer"


def site_of(folder: Path) -> Site:
    """The site with the ports of what was started from it."""
    known = read_records(Site(folder).services)
    ports: dict[str, Any] = {name: record.port for name, record in known.items() if record.port}
    return Site(folder, Ports(**ports))
