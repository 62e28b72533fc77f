"""Locks between processes, containers and machines that share a folder: a file that its owner keeps renewing.

Kernel locks do not hold on every shared file system, and nobody frees a file of a machine that is gone. So whoever
waits takes a lease over once it was not renewed for `EXPIRES` seconds by the waiter's own clock, or at once where the
owner ran on this very machine and its process is gone.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from hone.tasks import disk

RENEWS, EXPIRES = 5.0, 60.0
"""Seconds. A machine so busy that a thread of a few microseconds does not come to run for a minute does not train."""
LOOKS = (0.05, 1.0)
"""Seconds between two looks of whoever waits: at first, and later."""


@dataclass(frozen=True)
class _Owner:
    """Who holds a lease; what is in the file."""

    lease: str
    machine: str
    pid: int
    started: float


@contextmanager
def held(path: Path, on_wait: Callable[[str], None] = lambda _who: None) -> Iterator[None]:
    """Holds the lease at `path` while the block lasts; waits for whoever holds it.

    Args:
        on_wait: told once whom it waits for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    me = _Owner(uuid.uuid4().hex, machine(), os.getpid(), psutil.Process().create_time())
    _take(path, me, on_wait)
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(path, done), name="lease", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        if _owner(path) == me:
            path.unlink(missing_ok=True)


def is_free(path: Path) -> bool:
    """Whether nobody holds the lease, as far as one look tells: another machine's counts as held until its file is
    older than `EXPIRES`."""
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return True
    owner = _owner(path)
    return _is_gone(owner) if owner is not None and owner.machine == machine() else age > EXPIRES


def machine() -> str:
    """What tells this machine, since it was started, and this container from others: only here does a process number
    mean the same process."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip())
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _take(path: Path, me: _Owner, on_wait: Callable[[str], None]) -> None:
    seen, since, told, pause = None, time.monotonic(), False, LOOKS[0]
    while not _create(path, me):
        owner = _owner(path)
        renewed = _renewed(path)
        if (owner, renewed) != seen:
            seen, since = (owner, renewed), time.monotonic()
        expired = time.monotonic() - since > EXPIRES
        if (owner is not None and _is_gone(owner)) or expired:
            _break(path, owner)
            continue
        if not told and owner is not None:
            on_wait(f"process {owner.pid} on {owner.machine.partition(' ')[0]}")
            told = True
        time.sleep(pause)
        pause = min(2 * pause, LOOKS[1])


def _create(path: Path, me: _Owner) -> bool:
    """Puts the file there whole, if there is none: a link either is made or is not, on shared file systems too."""
    beside = disk.aside(path)
    beside.write_text(json.dumps(me.__dict__), encoding="utf-8")
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(me.__dict__, file)
        except FileExistsError:
            return False
    finally:
        beside.unlink(missing_ok=True)
    return True


def _break(path: Path, owner: _Owner | None) -> None:
    """Takes the file of a dead owner away. Of two who do, the second finds the first one's, and puts it back."""
    taken = disk.aside(path, disk.RETIRED)
    try:
        path.rename(taken)
    except FileNotFoundError:
        return
    if _owner(taken) != owner:
        with contextlib.suppress(OSError):
            os.link(taken, path)
    taken.unlink(missing_ok=True)


def _owner(path: Path) -> _Owner | None:
    try:
        return _Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _renewed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _is_gone(owner: _Owner) -> bool:
    """Whether the owner's process has ended; not known, and so False, of another machine's."""
    if owner.machine != machine():
        return False
    try:
        process = psutil.Process(owner.pid)
        return abs(process.create_time() - owner.started) > 1 or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _renew(path: Path, done: threading.Event) -> None:
    while not done.wait(RENEWS):
        with contextlib.suppress(OSError):
            os.utime(path)
