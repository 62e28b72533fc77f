"""Which processes `hone up` starts, with which command, environment, port and files. Starts and reads nothing."""

import hashlib
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hone.flows.environment import QUIET
from hone.tasks.ray_folder import fits

HOST = "127.0.0.1"
POOL = "hone"
HEARTBEAT_SECONDS = 30
"""How often a run tells that its process lives; Prefect takes no less."""
MARK = "HONE_SERVICES"
"""Variable that every process started here, and what it starts, finds in its environment: the services' folder."""


@dataclass(frozen=True)
class Ports:
    """Where each server listens, on loopback."""

    prefect: int = 4200
    mlflow: int = 5000
    ray: int = 6379


@dataclass(frozen=True)
class Site:
    """One folder and its ports: all that the servers of `hone up` depend on."""

    folder: Path
    """Absolute. MLflow's records lie here, as those of `hone optimize` do whose compute.storage it is."""
    ports: Ports = field(default_factory=Ports)

    @property
    def services(self) -> Path:
        """Folder of the servers' own state: process files, logs, Prefect's database, Ray's token."""
        return self.folder / "services"

    @property
    def prefect_url(self) -> str:
        return f"http://{HOST}:{self.ports.prefect}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{HOST}:{self.ports.mlflow}"

    @property
    def token(self) -> Path:
        """File with the secret without which nobody on this machine gets anything done by Ray."""
        return self.services / "ray-token"

    def client(self) -> dict[str, str]:
        """The variables that point a command or a worker at these servers."""
        return {
            "PREFECT_API_URL": f"{self.prefect_url}/api",
            "MLFLOW_TRACKING_URI": self.mlflow_url,
            "RAY_ADDRESS": f"{HOST}:{self.ports.ray}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token),
            # Ray takes the machine's outward address, also for 127.0.0.1, unless it is told that there is no cluster.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        }


@dataclass(frozen=True)
class Service:
    """One process to start."""

    name: str
    command: list[str]
    environment: dict[str, str]
    """On top of what `hone up` finds in its own."""
    port: int | None = None
    option: str = ""
    """Option of `hone up` that changes the port."""
    without: tuple[str, ...] = ()
    """Variables that are taken out of it."""

    def log(self, site: Site) -> Path:
        """What the process writes."""
        return site.services / f"{self.name}.log"


def ray_folder(site: Site) -> Path | None:
    """Where Ray keeps sockets and logs: below the services' folder, or where that has too long a name, below the usual
    one for temporary files (None), or else in a short one that each start finds again."""
    if fits(site.services / "ray"):
        return site.services / "ray"
    if fits(Path(tempfile.gettempdir(), "ray")):
        return None
    return Path("/tmp", f"hone-ray-{hashlib.sha256(str(site.services).encode()).hexdigest()[:12]}")


SUPERVISOR = "supervisor"


def supervisor(site: Site) -> Service:
    """What looks after the worker where `hone up` itself does not stay."""
    command = [sys.executable, "-m", "hone.flows.services.keep", str(site.folder)]
    return Service(SUPERVISOR, command, QUIET | {MARK: str(site.services), "PYTHONUNBUFFERED": "1"})


def plan(site: Site) -> list[Service]:
    """The processes in the order in which they start; the worker comes last, when the others are healthy."""
    python = sys.executable
    common = QUIET | {
        MARK: str(site.services),
        "PREFECT_HOME": str(site.services / "prefect"),
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
        "PYTHONUNBUFFERED": "1",
    }
    prefect = Service(
        "prefect",
        [python, "-m", "prefect", "server", "start"],
        common
        | {
            "PREFECT_SERVER_API_HOST": HOST,
            "PREFECT_SERVER_API_PORT": str(site.ports.prefect),  # after --port its page still asks the usual port
            "PREFECT_API_URL": f"{site.prefect_url}/api",
            # The newer page asks a service outside for what to record of the person, whatever the server is told.
            "PREFECT_SERVER_UI_V2_ENABLED": "false",
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        },
        site.ports.prefect,
        "--prefect-port",
        without=("PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_UI_API_URL"),
    )
    # The artifacts by their place on the disk, so that these records can be read without the server as well.
    artifacts = ["--no-serve-artifacts", "--default-artifact-root", (site.folder / "mlflow-artifacts").as_uri()]
    records = ["--backend-store-uri", f"sqlite:///{site.folder / 'mlflow.db'}", *artifacts]
    mlflow = Service(
        "mlflow",
        [python, "-m", "mlflow", "server", f"--host={HOST}", f"--port={site.ports.mlflow}", "--workers=1", *records],
        common | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # 2 GB of job workers that nobody asks for anything
        site.ports.mlflow,
        "--mlflow-port",
        without=("MLFLOW_TRACKING_URI",),
    )
    # Any free ports for what Ray has beside its head: the usual ones could be another Ray's.
    other_ports = [
        "--dashboard-port=0",
        "--dashboard-agent-listen-port=0",
        "--min-worker-port=0",
        "--max-worker-port=0",
    ]
    ray = Service(
        "ray",
        [
            *[python, "-m", "hone.tasks.ray_start", "start", "--head", "--block", f"--node-ip-address={HOST}"],
            *[f"--port={site.ports.ray}", "--include-dashboard=false", "--disable-usage-stats", *other_ports],
            *([f"--temp-dir={place}"] if (place := ray_folder(site)) else []),
        ],
        common | {name: value for name, value in site.client().items() if name.startswith("RAY_")},
        site.ports.ray,
        "--ray-port",
        without=("RAY_ADDRESS", "RAY_AUTH_TOKEN"),
    )
    worker = Service(
        "worker",
        [python, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", "hone-up"],
        common
        | site.client()
        | {
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_RUNNER_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        },
        without=("RAY_AUTH_TOKEN",),
    )
    return [prefect, mlflow, ray, worker]
