"""A proxy that writes down what it is asked for, and lets nothing through: what a process wants from outside."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class Outward:
    """Everything that was asked for, as `METHOD ADDRESS`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[str] = []

    @property
    def environment(self) -> dict[str, str]:
        """Variables under which a process asks it for whatever does not lie on this machine."""
        return dict.fromkeys(PROXIES, self.url)


@contextmanager
def logging_proxy() -> Iterator[Outward]:
    class Handler(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            found.asked.append(f"{self.command} {self.path}")
            self.send_error(502)

        do_CONNECT = do_GET = do_HEAD = do_POST = do_PUT = refuse  # noqa: N815 - as the base class wants them

        def log_message(self, *_: object) -> None:
            """Says nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Outward(f"http://127.0.0.1:{server.server_address[1]}")
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
