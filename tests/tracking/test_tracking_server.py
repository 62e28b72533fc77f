"""Where the records go, and what is said when they cannot go there."""

import http.server
import importlib.metadata
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from hone.tasks import schema, tracking
from hone.tasks.errors import PreflightError
from hone.tasks.storage import folder_of
from hone.tasks.tracking import server


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_records_go_to_sqlite_and_a_folder_in_the_storage(storage: Path) -> None:
    assert tracking.tracking_uri() == f"sqlite:///{storage}/mlflow.db"
    with tracking.pipeline_run("place", {}, {}) as pipeline:
        uri = server.client().get_run(pipeline).info.artifact_uri
        experiment = server.client().get_experiment_by_name("place")
    assert uri.startswith((storage / "mlflow-artifacts" / "place").as_uri())
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"  # its page opens with the runs


def test_the_environment_names_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking.configure(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking.configure(tmp_path) == "http://127.0.0.1:5000"


def test_only_a_block_makes_the_records_the_default_of_mlflow(storage: Path) -> None:
    import mlflow

    before = mlflow.get_tracking_uri()
    with server.as_default():
        assert mlflow.get_tracking_uri() == os.environ["MLFLOW_TRACKING_URI"] == tracking.tracking_uri() != before
    assert mlflow.get_tracking_uri() == before
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_a_bucket_takes_no_records_so_a_server_has_to(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = folder_of("s3://team/hone")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(
        PreflightError, match=r"MLFLOW_TRACKING_URI is '', and compute.storage is s3://team/hone, a bucket"
    ):
        tracking.configure(mirror)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking.configure(mirror) == "http://127.0.0.1:5000"


def test_a_kill_and_two_processes_at_once_leave_one_whole_database(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from hone.tasks import tracking
tracking.configure(Path({str(tmp_path)!r}))
with tracking.pipeline_run("race", {{}}, {{}}):
    pass
"""
    command = [sys.executable, "-c", script]
    killed = subprocess.Popen(command)
    while not (tmp_path / "mlflow.db.new").exists():
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert not (tmp_path / "mlflow.db").exists()
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=600)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert tracking.check(tmp_path) == f"SQLite, {tmp_path}/mlflow.db (2 runs)"
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "mlflow.db.lock"}


def test_only_a_database_that_nobody_knows_yet_is_written_without_waiting_for_the_disk(tmp_path: Path) -> None:
    def waits(name: str) -> int:
        with create_engine(f"sqlite:///{tmp_path / name}").connect() as connection:
            return connection.execute(text("PRAGMA synchronous")).scalar_one()

    full = waits("new")
    with server._written_at_its_end(tmp_path / "new"):
        assert [waits("new"), waits("other")] == [0, full]
    assert waits("new") == full > 0


def test_a_check_of_a_new_storage_writes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "not" / "yet"
    assert tracking.check(place) == f"SQLite, {place}/mlflow.db (new)"
    assert not list(tmp_path.iterdir())


def test_a_check_finds_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("something else entirely " * 50)
    with pytest.raises(PreflightError, match=r"mlflow\.db: not a database of MLflow .*: move it away, or "):
        tracking.check(tmp_path)


def records_of_revision(folder: Path, revision: str) -> Path:
    """A database of runs whose schema says that it is of a revision."""
    database = folder / "mlflow.db"
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("CREATE TABLE runs (run_uuid TEXT)")
        writer.execute("CREATE TABLE alembic_version (version_num TEXT)")
        writer.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        writer.commit()
    return database


def test_a_check_finds_records_of_an_older_mlflow_and_gives_the_command_that_upgrades_them(tmp_path: Path) -> None:
    newest, known = schema._migrations("mlflow", "store/db_migrations/versions")
    older = min(known - {newest})
    database = records_of_revision(tmp_path, older)
    with pytest.raises(PreflightError) as raised:
        tracking.check(tmp_path)
    told, here = str(raised.value), importlib.metadata.version("mlflow")
    assert told.startswith(f"{database}: its schema is {older}, of an MLflow older than {here}, whose own is {newest}:")
    assert "copy the file to be safe, then run" in told
    program, *arguments = re.findall(r"`(.+?)`", told)[0].split()
    assert Path(program).is_file()
    assert arguments == ["db", "upgrade", f"sqlite:///{database}"]


def test_a_check_finds_records_of_a_newer_mlflow_and_names_both_ways_out(tmp_path: Path) -> None:
    database, here = records_of_revision(tmp_path, "ffffffffffff"), importlib.metadata.version("mlflow")
    told = f"{database}: its schema is ffffffffffff, which MLflow {here} does not know, as a newer MLflow wrote it: "
    ways = "install that release, or give this one a database of its own with compute.storage or MLFLOW_TRACKING_URI"
    with pytest.raises(PreflightError, match=re.escape(told + ways)):
        tracking.check(tmp_path)


def test_a_check_of_a_server_that_is_away_masks_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ana:planted-7731@127.0.0.1:{port}")
    with pytest.raises(PreflightError, match=rf"MLFLOW_TRACKING_URI is 'http://\*\*\*@127.0.0.1:{port}'") as raised:
        tracking.check(tmp_path)
    assert "planted-7731" not in str(raised.value)


def test_a_check_finds_a_storage_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PreflightError, match=r"cannot be created, as .*file is not a writable folder: set compute"):
        tracking.check(tmp_path / "file" / "storage")
    tracking.configure(tmp_path / "file" / "storage")
    with pytest.raises(PreflightError, match="cannot be created"), tracking.pipeline_run("nowhere", {}, {}):
        pass


def test_a_check_refuses_a_store_that_is_neither_server_nor_sqlite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///mlruns")
    with pytest.raises(PreflightError, match=r"'file:///mlruns': Hone tracks to http.* or unset the variable"):
        tracking.check(tmp_path)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.fixture
def other_port() -> Iterator[int]:
    """A port where something other than MLflow answers."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        yield other.server_port
        other.shutdown()


@pytest.mark.parametrize("kind", ["silent_port", "other_port"])
def test_a_check_finds_a_server_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, kind: str
) -> None:
    uri = f"http://127.0.0.1:{request.getfixturevalue(kind)}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(server, "ANSWER_SECONDS", 1)
    with pytest.raises(PreflightError, match=f"'{uri}', which gives no answer of an MLflow server within 1 s: .*unset"):
        tracking.check(tmp_path)
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ
    tracking.configure(tmp_path)
    with pytest.raises(PreflightError, match="gives no answer"), tracking.pipeline_run("unheard", {}, {}):
        pass


def test_a_deleted_experiment_is_named_with_the_way_to_restore_it(storage: Path) -> None:
    found = server.experiment_id("deleted")
    server.client().delete_experiment(found)
    with (
        pytest.raises(
            PreflightError, match=f"'deleted' is deleted: restore it with `mlflow experiments restore -x {found}`"
        ),
        tracking.pipeline_run("deleted", {}, {}),
    ):
        pass


def test_tracking_before_it_is_configured_says_so() -> None:
    server._place.set(None)
    with pytest.raises(PreflightError, match=r"call tracking\.configure\(storage\) first"):
        server.client()
