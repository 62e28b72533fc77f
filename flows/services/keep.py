"""A worker that died is started again: by `hone up` as long as it stays, else by this, as a process of its own."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from hone.flows.services import processes
from hone.flows.services.plan import Service, Site, plan
from hone.flows.services.records import Record, read_records
from hone.flows.services.state import runs, site_of

LOOK_SECONDS = 0.5
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds before it is started again; each time that it does not stay, twice as long."""
STAYED_SECONDS = 60.0
"""A worker that has lived so long counts as one that works."""


class Keeper:
    """Looks after the worker of a site; to be asked again and again.

    Args:
        worker: how it is started.
        say: told what happened.
    """

    def __init__(self, site: Site, worker: Service, say: Callable[[str], None]) -> None:
        self._site, self._worker, self._say = site, worker, say
        self._wait = FIRST_WAIT
        self._due: float | None = None

    def look(self, known: dict[str, Record]) -> None:
        """Starts the worker again, if its process is gone and the wait is over. One that nobody has started, or that
        was stopped on purpose, has no process file and is left alone.

        Args:
            known: the process files.
        """
        record = known.get(self._worker.name)
        if record is None or runs(self._worker, self._site, known):
            self._due = None
            return
        now = time.monotonic()
        if self._due is None:
            if time.time() - record.created > STAYED_SECONDS:
                self._wait = FIRST_WAIT
            self._due, self._wait = now + self._wait, min(2 * self._wait, LONGEST_WAIT)
        if now < self._due:
            return
        self._due = None
        made = processes.start(self._worker, self._site)
        self._say(f"worker {record.pid} had ended and was started again as {made.pid}")


def main(folder: str) -> None:
    """Looks after the worker of `hone up --detach` until everything is stopped."""
    site = site_of(Path(folder))
    [worker] = [service for service in plan(site) if service.name == "worker"]
    keeper = Keeper(site, worker, lambda text: print(text, flush=True))
    while known := read_records(site.services):
        keeper.look(known)
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1])
