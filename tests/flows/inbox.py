"""Where a team hears of its runs: a server that keeps what is posted to it, and the block that posts there."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from tests.flows.running import Here


class Inbox:
    """A server that keeps what is posted to it."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.send_response(500)  # what the block makes of it is nothing to the run
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing is printed."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Inbox":
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()


def notify(here: Here, url: str) -> None:
    """Has the team's block hear of the recipe, as somebody would who deploys it."""
    kind = here.ask("GET", "/block_types/slug/webhook")[1]["id"]
    schema = here.ask("POST", "/block_schemas/filter", {"block_schemas": {"block_type_id": {"any_": [kind]}}})[1][0][
        "id"
    ]
    block = {"name": "team", "block_type_id": kind, "block_schema_id": schema, "data": {"url": url, "method": "POST"}}
    assert here.ask("POST", "/block_documents/", block)[0] == 201
    absent = here.hone("deploy", "--notify", "webhook/nobody")
    assert (absent.returncode, "Prefect has no block webhook/nobody" in absent.stderr) == (2, True)
    done = here.hone("deploy", "--notify", "webhook/team")
    assert done.returncode == 0, done.stdout + done.stderr
