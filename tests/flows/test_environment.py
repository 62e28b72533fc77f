"""What surrounds a command: proxies, temporary folders, output, and the engines' own databases."""

import codecs
import os
import sqlite3
import tempfile
from base64 import b64encode
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

from hone.flows.__main__ import unforeseen
from hone.flows.database import check_prefect
from hone.flows.encoding import ERRORS, replace_unprintable
from hone.flows.environment import LOOPBACK, keep_loopback_direct
from hone.flows.services.plan import Site, ray_folder
from hone.tasks import ray_folder as folders
from hone.tasks.errors import PreflightError


@pytest.mark.parametrize("proxy", ["http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "grpc_proxy"])
def test_this_machine_is_never_asked_through_a_proxy(proxy: str) -> None:
    environment = {proxy: "http://proxy:3128", "NO_PROXY": "intranet, 10.0.0.1"}
    keep_loopback_direct(environment)
    for name in ("no_proxy", "NO_PROXY"):
        assert {"intranet", "10.0.0.1", *LOOPBACK} <= set(environment[name].split(","))


def test_without_a_proxy_nothing_is_set() -> None:
    environment: dict[str, str] = {}
    keep_loopback_direct(environment)
    assert environment == {}


def test_ray_gets_a_short_folder_where_the_usual_one_has_too_long_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    assert folders.short_folder() is None
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 60)))
    with pytest.raises(PreflightError, match=r"TMPDIR is '.*x': names of Ray's sockets .* at most 36 characters"):
        folders.short_folder(["/nowhere"])
    found = folders.short_folder()
    assert found is not None
    assert folders.fits(found)
    assert found.stat().st_mode & 0o077 == 0
    found.rmdir()


def test_the_ray_of_hone_up_has_a_folder_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    assert ray_folder(Site(Path("/srv/.hone"))) == Path("/srv/.hone/services/ray")
    deep = Site(Path("/srv", "x" * 80, ".hone"))
    assert ray_folder(deep) is None  # Ray's own, below /tmp
    monkeypatch.setattr(tempfile, "tempdir", f"/{'y' * 80}")
    found = ray_folder(deep)
    assert found is not None
    assert folders.fits(found)
    assert found == ray_folder(deep)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("ascii", "+ 6.5x -> cafe ?"), ("latin-1", "+ 6.5× -> café ?"), ("cp1252", "+ 6.5× -> café ?")],
)
def test_what_cannot_be_printed_is_spelt_plainly(encoding: str, expected: str) -> None:
    codecs.register_error(ERRORS, replace_unprintable)
    assert "✓ 6.5× → café 語".encode(encoding, ERRORS).decode(encoding) == expected


def test_a_server_that_is_down_is_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://ana:hunter22@127.0.0.1:9/api")
    with pytest.raises(PreflightError, match=r"PREFECT_API_URL is 'http://\*\*\*@127.0.0.1:9/api', where no Prefect"):
        check_prefect()


def test_a_server_behind_a_password_is_asked_with_it_and_one_that_refuses_it_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = b64encode(b"ana:hunter22:x").decode()

    class Guarded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.headers["Authorization"] == f"Basic {right}" else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing on the terminal."""

    server = HTTPServer(("127.0.0.1", 0), Guarded)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_address[1]}/api")
    try:
        with temporary_settings({PREFECT_API_AUTH_STRING: "ana:hunter22:x"}):
            assert check_prefect().startswith("server, http://127.0.0.1:")
        with pytest.raises(PreflightError, match=r"refuses to be asked \(HTTP 401\): set PREFECT_API_KEY") as refused:
            check_prefect()
        assert "hunter22" not in str(refused.value)
    finally:
        server.shutdown()


def test_a_database_of_a_newer_prefect_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    assert check_prefect() == f"no server: SQLite, {tmp_path / 'prefect.db'} (new)"
    with closing(sqlite3.connect(tmp_path / "prefect.db")) as writer:
        writer.execute("CREATE TABLE alembic_version (version_num TEXT)")
        writer.execute("INSERT INTO alembic_version VALUES ('ffffffffffff')")
        writer.commit()
    with pytest.raises(PreflightError, match=r"schema is ffffffffffff, which Prefect 3\.\S+ does not know, as a newer"):
        check_prefect()
    (tmp_path / "prefect.db").write_bytes(os.urandom(4096))
    with pytest.raises(PreflightError, match="not a database of Prefect"):
        check_prefect()


def test_an_error_nobody_foresaw_is_a_line_and_its_traceback_a_file() -> None:
    try:
        raise KeyError("http://ana:hunter22@mlflow")
    except KeyError as error:
        line = unforeseen(error)
    path = Path(line.rpartition(": ")[2])
    assert line.startswith("KeyError: 'http://***@mlflow'")
    assert "hunter22" not in path.read_text()
    assert "raise KeyError" in path.read_text()
    path.unlink()
