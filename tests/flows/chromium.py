"""A real browser for the tests: Chromium without a window, asked through its own debugging protocol."""

import base64
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

START_SECONDS = 60.0
ANSWER_SECONDS = 60.0


def path() -> str:
    """Where Chromium lies; empty where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""


class Page:
    """One page of the browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.requested: list[str] = []
        """Every address that the page asked for."""
        self.refused: list[str] = []
        """What it was answered with an error, or not at all."""
        self.call("Network.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol, and its answer."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=ANSWER_SECONDS))
            if message.get("method") == "Network.requestWillBeSent":
                self.requested.append(message["params"]["request"]["url"])
            if message.get("method") == "Network.responseReceived" and message["params"]["response"]["status"] >= 400:
                response = message["params"]["response"]
                self.refused.append(f"{response['status']} {response['url']}")
            if message.get("method") == "Network.loadingFailed":
                self.refused.append(message["params"]["errorText"])
            if message.get("id") == number:
                assert "error" not in message, (method, message)
                return message["result"]

    def open(self, url: str) -> None:
        """Goes to an address; what it shows comes later."""
        self.call("Page.navigate", url=url)

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, (expression, done["exceptionDetails"])
        return done["result"].get("value")

    def wait(self, expression: str, seconds: float = 60.0) -> Any:
        """The value of an expression as soon as it is a true one; while what it looks at is not there yet, it may be
        an error."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if found := self.run(expression):
                    return found
            except AssertionError as error:
                found = error
            assert time.monotonic() < deadline, (
                f"{expression} stays {found!r}, refused: {self.refused[-20:]}, on:\n{self.ends()}"
            )
            time.sleep(0.25)

    def text(self) -> str:
        """What a person reads on it."""
        return str(self.run("document.body.innerText"))

    def ends(self) -> str:
        """The beginning of it, and the end, where a page says what went wrong."""
        text = self.text()
        return text if len(text) <= 3000 else f"{text[:1500]}\n[...]\n{text[-1500:]}"

    def fill(self, element: str, value: str) -> None:
        """Puts a value into the field that an expression finds, as by typing."""
        self.run(f"(() => {{ const field = {element}; field.scrollIntoView(); field.focus(); field.select(); }})()")
        self.call("Input.insertText", text=value)

    def choose(self, element: str, value: str) -> None:
        """Chooses from the list that an expression finds."""
        change = f"list.value = '{value}'; list.dispatchEvent(new Event('change', {{bubbles: true}}))"
        self.run(f"(() => {{ const list = {element}; {change} }})()")

    def press(self, element: str) -> None:
        """Clicks what an expression finds, with a real mouse, once it stands still and nothing lies over it."""
        self.run(f"{element}.scrollIntoView({{block: 'center'}})")
        before: list[float] = []
        for _look in range(50):
            time.sleep(0.2)
            x, y, seen = self.run(
                f"(() => {{ const one = {element}, r = one.getBoundingClientRect(); "
                "const [x, y] = [r.x + r.width / 2, r.y + r.height / 2]; "
                "return [x, y, one.contains(document.elementFromPoint(x, y))] })()"
            )
            if seen and [x, y] == before:
                break
            before = [x, y]
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press_until(self, element: str, expression: str) -> None:
        """Clicks until an expression is true: a page that a busy server is still filling may take no notice."""
        for _press in range(6):
            self.press(element)
            with suppress(AssertionError):
                self.wait(expression, seconds=20.0)
                return
        self.wait(expression)

    def picture(self, target: Path) -> None:
        """What is on the screen, as PNG."""
        target.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browser(folder: Path, width: int = 1280, height: int = 1600) -> Iterator[Page]:
    """A browser with an empty profile in `folder`, and its one page."""
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    arguments += ["--disable-background-networking", "--disable-component-update", "--force-color-profile=srgb"]
    arguments += [f"--window-size={width},{height}", "--remote-debugging-port=0", f"--user-data-dir={folder}"]
    process = subprocess.Popen(
        [path(), *arguments, "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        ready = folder / "DevToolsActivePort"
        while not ready.exists() or not ready.read_text().strip():
            assert process.poll() is None, f"{path()} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{path()} is not ready after {START_SECONDS} s"
            time.sleep(0.1)
        port = ready.read_text().splitlines()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=ANSWER_SECONDS) as answer:
            address = next(tab["webSocketDebuggerUrl"] for tab in json.load(answer) if tab["type"] == "page")
        with connect(address, max_size=None) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
