"""`hone up`, `status` and `down`: what is started, what is repaired, what is refused, and who is left alone."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from hone.flows.environment import QUIET
from hone.flows.services import keep, up
from hone.flows.services.health import free, holder
from hone.flows.services.plan import MARK, Ports, Service, Site, plan
from hone.flows.services.processes import stop
from hone.flows.services.records import Record, orphans, process_of, read_records
from hone.flows.services.state import borrowed
from hone.tasks.errors import HoneError
from tests.processes import runs

ROOT = Path(__file__).resolve().parents[2]


def hone(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    command = [sys.executable, "-m", "hone", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    found = Site(tmp_path / "state", Ports(14201, 15001, 16380))
    found.services.mkdir(parents=True)
    return found


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens: this process."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def sleeper(**environment: str) -> subprocess.Popen[bytes]:
    """A process that does nothing, and does not come to an end by itself."""
    command = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"]
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def record_of(process: subprocess.Popen[bytes], name: str = "prefect") -> Record:
    return Record(name, process.pid, psutil.Process(process.pid).create_time(), 14201)


def ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_every_server_listens_on_loopback_and_on_the_port_it_was_given(site: Site) -> None:
    found = {service.name: service for service in plan(site)}
    assert list(found) == ["prefect", "mlflow", "ray", "worker"]
    assert found["prefect"].environment["PREFECT_SERVER_API_HOST"] == "127.0.0.1"
    assert found["prefect"].environment["PREFECT_SERVER_API_PORT"] == "14201"
    assert {"--host=127.0.0.1", "--port=15001"} <= set(found["mlflow"].command)
    assert {"--node-ip-address=127.0.0.1", "--port=16380"} <= set(found["ray"].command)


def test_no_process_calls_home_whatever_the_person_has_set(site: Site) -> None:
    for service in plan(site):
        for name in ("DO_NOT_TRACK", "PREFECT_SERVER_ANALYTICS_ENABLED", "MLFLOW_DISABLE_TELEMETRY"):
            assert service.environment[name] == QUIET[name]
        assert service.environment["RAY_USAGE_STATS_ENABLED"] == "0"


def test_all_state_lies_below_the_one_folder(site: Site) -> None:
    prefect, mlflow, ray, worker = plan(site)
    assert prefect.environment["PREFECT_HOME"] == worker.environment["PREFECT_HOME"]
    assert Path(prefect.environment["PREFECT_HOME"]).is_relative_to(site.folder)
    assert f"sqlite:///{site.folder}/mlflow.db" in mlflow.command
    assert Path(ray.environment["RAY_AUTH_TOKEN_PATH"]).is_relative_to(site.folder)
    short = next(service for service in plan(Site(Path("/srv/hone"))) if service.name == "ray")
    assert "--temp-dir=/srv/hone/services/ray" in short.command


def test_the_worker_and_a_persons_shell_are_pointed_at_the_same_servers(site: Site) -> None:
    worker = plan(site)[-1]
    assert worker.environment.items() >= site.client().items()
    assert site.client()["PREFECT_API_URL"] == "http://127.0.0.1:14201/api"


def test_a_process_file_is_read_as_it_was_written_and_a_broken_one_counts_as_absent(site: Site) -> None:
    record = Record("mlflow", 17, 1.5, 5000)
    record.write(site.services)
    (site.services / "ray.pid").write_text("17")
    (site.services / "prefect.pid").write_text('{"name": "prefect"')
    assert read_records(site.services) == {"mlflow": record}


def test_a_process_is_known_by_its_number_its_start_and_its_environment(site: Site) -> None:
    ours = sleeper(**{MARK: str(site.services)})
    try:
        record = record_of(ours)
        assert process_of(record, site.services) is not None
        assert process_of(Record("prefect", ours.pid, record.created - 60), site.services) is None
        assert process_of(record, site.services / "elsewhere") is None
    finally:
        ours.kill()
        ours.wait()
    assert process_of(record, site.services) is None


def test_down_never_touches_a_process_that_only_has_the_number_of_ours(site: Site) -> None:
    stranger, other_folder = sleeper(), sleeper(**{MARK: str(site.services / "other")})
    try:
        for name, process in (("prefect", stranger), ("ray", other_folder)):
            record_of(process, name).write(site.services)
        done = hone(site.folder, "down", "--folder", str(site.folder))
        assert (done.returncode, done.stdout.strip()) == (0, "nothing ran")
        assert (stranger.poll(), other_folder.poll()) == (None, None)
        assert read_records(site.services) == {}
    finally:
        for process in (stranger, other_folder):
            process.kill()
            process.wait()


def test_down_ends_what_a_dead_parent_left_behind_even_without_a_process_file(site: Site) -> None:
    orphan = sleeper(**{MARK: str(site.services)})
    assert [process.pid for process in orphans(site.services)] == [orphan.pid]
    stop(site.services)
    assert ended(orphan)


def test_what_ignores_the_request_to_end_is_killed_within_seconds(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hone.flows.services.processes.GRACE_SECONDS", 0.5)
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    deaf = subprocess.Popen(
        [sys.executable, "-c", program], env=os.environ | {MARK: str(site.services)}, stdout=subprocess.PIPE
    )
    assert deaf.stdout is not None
    deaf.stdout.readline()
    record_of(deaf).write(site.services)
    began = time.monotonic()
    assert stop(site.services) == ["prefect"]
    assert time.monotonic() - began < 5
    assert not psutil.pid_exists(deaf.pid)


def test_a_port_in_use_is_one_error_that_names_the_port_its_holder_and_the_option(tmp_path: Path, taken: int) -> None:
    assert not free(taken)
    assert f"process {os.getpid()}" in holder(taken)
    done = hone(tmp_path, "up", "--mlflow-port", str(taken), "--prefect-port", "14201", "--ray-port", "16380")
    assert done.returncode == 2
    assert f"port {taken}, where mlflow is to listen, is taken by process {os.getpid()}" in done.stderr
    assert f"--mlflow-port {taken + 1}" in done.stderr
    assert orphans(tmp_path / ".hone" / "services") == []


def test_one_port_for_two_servers_is_refused(tmp_path: Path) -> None:
    done = hone(tmp_path, "up", "--mlflow-port", "14201", "--prefect-port", "14201")
    assert done.returncode == 2
    assert "port 14201 is asked for by prefect and by mlflow: change --prefect-port or --mlflow-port" in done.stderr


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = hone(tmp_path, "up", "--folder", "file/state")
    assert done.returncode == 2
    assert f"{tmp_path}/file/state/services: cannot be made" in done.stderr
    assert "--folder" in done.stderr


def test_a_wrong_recipe_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "wrong.yaml").write_text("name: wrong\ntrian: {}")
    done = hone(tmp_path, "up")
    assert done.returncode == 2
    assert "wrong.yaml: trian = {}: unknown key" in done.stderr
    assert not (tmp_path / ".hone").exists()


def test_a_server_that_does_not_come_up_is_named_with_its_last_words_and_nothing_stays(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = {MARK: str(site.services)}
    patient = Service("prefect", [sys.executable, "-c", "import time; time.sleep(600)"], mark, 14201)
    hasty = Service("mlflow", [sys.executable, "-c", "raise SystemExit('no such database')"], mark, 15001)
    monkeypatch.setattr(up, "plan", lambda _site: [patient, hasty, patient])
    with pytest.raises(
        HoneError, match=r"mlflow ended while it started.*mlflow\.log, and ends with:\nno such database"
    ):
        up._start(site, [], Console())
    assert orphans(site.services) == []
    assert read_records(site.services) == {}


def test_a_server_that_never_answers_is_given_up_at_the_deadline(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = Service("ray", [sys.executable, "-c", "import time; time.sleep(600)"], {MARK: str(site.services)}, 16380)
    monkeypatch.setattr(up, "plan", lambda _site: [silent, silent])
    monkeypatch.setattr(up, "HEALTHY_SECONDS", 1.0)
    with pytest.raises(HoneError, match=r"ray does not answer after 1 s\. Its log is .*ray\.log"):
        up._start(site, [], Console())
    assert orphans(site.services) == []


STAND_INS = """
import sys, signal
from pathlib import Path
from rich.console import Console
from hone.flows.services import keep, up
from hone.flows.services.plan import MARK, Ports, Service
def plan(site):
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    return [Service(name, command, {MARK: str(site.services)}) for name in ("mlflow", "worker")]
up.plan, up.healthy, up._register = plan, lambda *_: True, lambda *_: None
sys.exit({"DONE": 0}.get(up.run_up(sys.argv[1], Ports(), False, [], Console()), 1))
"""
"""`hone up` around processes that start at once and are healthy at once."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_stop_all_also_where_a_shell_switched_them_off(site: Site, number: signal.Signals) -> None:
    running = subprocess.Popen(
        ["/bin/sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-c", STAND_INS, str(site.folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    while "Ctrl-C stops them" not in (line := running.stdout.readline()):
        assert line, "it ended by itself"
    children = [psutil.Process(record.pid) for record in read_records(site.services).values()]
    running.send_signal(number)
    assert running.wait(timeout=30) == 0
    assert "stopped mlflow, worker" in running.stdout.read()
    assert len(children) == 2
    assert not any(map(runs, children))


def test_when_one_of_them_ends_the_others_are_stopped_and_it_is_named(site: Site) -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", STAND_INS, str(site.folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert running.stdout is not None
    while "Ctrl-C stops them" not in (line := running.stdout.readline()):
        assert line, "it ended by itself"
    psutil.Process(read_records(site.services)["mlflow"].pid).kill()
    assert running.wait(timeout=30) == 1
    assert "mlflow ended, so the others were stopped. Its log is" in running.stdout.read()
    assert orphans(site.services) == []


def test_a_worker_that_dies_is_started_again_alone(site: Site) -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", STAND_INS, str(site.folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout is not None
        while "Ctrl-C stops them" not in (line := running.stdout.readline()):
            assert line, "it ended by itself"
        before = read_records(site.services)
        for _ in range(2):
            dead = read_records(site.services)["worker"]
            psutil.Process(dead.pid).kill()
            assert running.stdout.readline().startswith(f"worker {dead.pid} had ended and was started again as ")
            again = read_records(site.services)["worker"]
            assert again.pid != dead.pid
            assert process_of(again, site.services) is not None
        assert read_records(site.services)["mlflow"] == before["mlflow"]
        assert stop(site.services) == ["mlflow", "worker"]
        assert running.wait(timeout=30) == 0
        assert "stopped by `hone down`" in running.stdout.read()
    finally:
        running.kill()


def test_a_worker_that_keeps_dying_is_started_less_and_less_often(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    started: list[float] = []
    monkeypatch.setattr(keep.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(keep.time, "time", lambda: clock[0])
    worker = plan(site)[-1]

    def start(_service: Service, _site: Site) -> Record:
        started.append(clock[0])
        return Record("worker", 2**22 + 1, clock[0])

    monkeypatch.setattr(keep.processes, "start", start)
    keeper = keep.Keeper(site, worker, lambda _text: None)
    keeper.look({})  # stopped on purpose
    while clock[0] < 200:
        keeper.look({"worker": Record("worker", 2**22 + 1, started[-1] if started else 0.0)})
        clock[0] += 0.5
    assert [later - sooner for sooner, later in pairwise(started)][:5] == [2.5, 4.5, 8.5, 16.5, 32.5]


def test_commands_use_what_runs_from_the_folder_unless_a_person_has_said_otherwise(site: Site) -> None:
    assert borrowed(str(site.folder), {}) == {}
    ours = {name: sleeper(**{MARK: str(site.services)}) for name in ("prefect", "mlflow", "ray")}
    try:
        for (name, process), port in zip(ours.items(), (14201, 15001, 16380), strict=True):
            Record(name, process.pid, psutil.Process(process.pid).create_time(), port).write(site.services)
        assert borrowed(str(site.folder), {}) == site.client()
        mine = {"MLFLOW_TRACKING_URI": "http://mlflow:5000", "RAY_ADDRESS": "ray-head:6379"}
        assert borrowed(str(site.folder), mine) == {"PREFECT_API_URL": "http://127.0.0.1:14201/api"}
        told = hone(site.folder, "history", "nobody", "--storage", str(site.folder))
        assert f"with the servers of `hone up` in {site.folder}: http://127.0.0.1:14201/api, " in told.stderr
        assert "hone up" not in hone(site.folder, "history", "nobody", "--local", "--storage", str(site.folder)).stderr
    finally:
        for process in ours.values():
            process.kill()
            process.wait()


def test_the_token_of_ray_is_the_persons_own(tmp_path: Path, taken: int) -> None:
    hone(tmp_path, "up", "--prefect-port", str(taken))
    token = tmp_path / ".hone" / "services" / "ray-token"
    assert token.stat().st_mode & 0o077 == 0
    assert len(token.read_text()) >= 32


def test_where_nothing_was_started_status_says_so_and_down_is_content(tmp_path: Path) -> None:
    shown = hone(tmp_path, "status")
    assert (shown.returncode, "nothing was started" in shown.stdout) == (1, True)
    assert hone(tmp_path, "down").returncode == 0


def test_status_tells_a_process_that_is_gone(site: Site) -> None:
    (site.services / "ray.pid").write_text(json.dumps({"name": "ray", "pid": 2**22 + 1, "created": 1.0, "port": 16380}))
    shown = hone(site.folder, "status", "--folder", str(site.folder))
    assert shown.returncode == 1
    assert "ray      not running" in shown.stdout
