"""Who asked: as the server knows them, or claimed."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hone.tasks.tracking import people, server


class Authenticated(BaseHTTPRequestHandler):
    """Answers as MLflow's authentication does; to whoever gives another password, not at all."""

    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(b"ana:right").decode()
        known = self.headers["Authorization"] == wanted and self.path == people.CURRENT_USER
        self.send_response(200 if known else 401)
        self.end_headers()
        if known:
            self.wfile.write(json.dumps({"user": {"username": "ana", "is_admin": False}}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), Authenticated)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{running.server_address[1]}"
    running.shutdown()


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [("ana:right@", ("ana", "MLflow")), ("ana:wrong@", ("me", "")), ("", ("me", ""))],
)
def test_a_name_is_vouched_for_by_the_server_that_accepted_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch, credentials: str, expected: tuple[str, str]
) -> None:
    monkeypatch.setattr(people, "user", lambda: "me")
    server._place.set(server.Place(f"http://{credentials}{url}", Path()))
    assert people.identity() == expected


def test_a_password_in_the_environment_is_used_too(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server._place.set(server.Place(f"http://{url}", Path()))
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ana")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "right")
    assert people.identity() == ("ana", "MLflow")


def test_where_no_server_is_the_systems_name_is_claimed() -> None:
    server._place.set(server.Place("sqlite:///a.db", Path()))
    assert people.identity() == (people.user(), "")
