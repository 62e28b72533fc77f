"""The folder that a person finds a run's report and model in, where other people's files may lie too.

Hone writes down what it made there, in `.hone-output.json`, with the digest of each file. It replaces that and nothing
else: a file that it did not write, or that somebody has changed since, is named and left alone.
"""

import errno
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hone.tasks import disk, lease, store
from hone.tasks.errors import OutputError

MARK = ".hone-output.json"
NAMES = ("report.html", "report.json", "model")
"""What a run may write into its output folder, beside the mark."""
LATEST = "latest"
ROOM = ".hone-"
ROOM_BYTES = 2 * 10**8
"""Room for the report and a small model."""
WAY_OUT = "name another folder by --output, or move it away"


@dataclass
class _Made:
    """What the mark says: a file may have two digests while one takes the other's place."""

    files: dict[str, list[str]] = field(default_factory=dict)
    rooms: list[str] = field(default_factory=list)


def folder_of(name: str, named: str) -> Path:
    """The folder that a person named, or else that of the runs of the recipe `name`; not resolved."""
    return Path(named or f"runs/{name}").expanduser().absolute()


def check(name: str, named: str) -> str:
    """That a run may write its output: the folder can be written or made, and what a run would replace there is Hone's
    own. Nothing is left behind.

    Args:
        name: the recipe's.
        named: the folder a person named, if they did.

    Raises:
        OutputError: when it is no folder, cannot be written, is full, or holds what Hone did not write.
    """
    folder = folder_of(name, named)
    free = _check_room(folder)
    if named:
        _refuse_foreign(folder)
    else:
        _check_latest(folder / LATEST)
    return f"{folder} can be written, {free / 1e9:.0f} GB free"


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """A room to write `NAMES` into. When the block ends, they take the place of what an earlier run wrote into
    `folder`, each in one rename; what this run did not make again is gone.

    Raises:
        OutputError: when the folder holds what Hone did not write, or cannot be written.
    """
    room = folder / f"{ROOM}{uuid.uuid4().hex}"
    alone = ExitStack()
    try:
        _refuse_foreign(folder)
        folder.mkdir(parents=True, exist_ok=True)
        alone.enter_context(lease.held(folder / f"{ROOM}lock"))
        made = _read_mark(folder)
        for left in [folder / name for name in made.rooms]:  # by a process that died while it wrote
            shutil.rmtree(left, ignore_errors=True)
        _write_mark(folder, _Made(made.files, [room.name]))
        room.mkdir()
        yield room
        fresh = {file.relative_to(room).as_posix(): [store.file_digest(file)] for file in _files(room)}
        both = {name: [*made.files.get(name, []), *fresh.get(name, [])] for name in made.files.keys() | fresh.keys()}
        _write_mark(folder, _Made(both, [room.name]))
        disk.flush(room)
        _swap(folder, room)
        _write_mark(folder, _Made(fresh))
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(room, ignore_errors=True)
        alone.close()


def point(link: Path, folder: Path) -> None:
    """Makes `link` lead to the newest of the folders beside it; where there are no links, it becomes a copy."""
    beside = link.with_name(f"{ROOM}{uuid.uuid4().hex}")
    if link.is_symlink() or not link.exists():
        try:
            beside.symlink_to(folder.name, target_is_directory=True)
            beside.replace(link)
            return
        except OSError:  # a file system without links
            beside.unlink(missing_ok=True)
    with writing(link) as room:
        for name in NAMES:
            _copy(folder / name, room / name)


def _check_room(folder: Path) -> int:
    """Bytes that are free where the folder is, or is to be."""
    if folder.is_symlink() and not folder.exists():
        raise OutputError(f"--output is {folder}, a link to {folder.readlink()}, which is not there: {WAY_OUT}")
    there = folder
    while not there.exists() and not there.is_symlink():
        there = there.parent
    if not there.is_dir():
        raise OutputError(f"--output is {folder}, and {there} is not a folder: name another by --output")
    try:
        with tempfile.TemporaryFile(dir=there, prefix=ROOM) as file:
            file.write(b"hone")
            file.flush()
        free = shutil.disk_usage(there).free
    except OSError as error:
        raise _unwritable(folder, error) from error
    if free < ROOM_BYTES:
        raise OutputError(
            f"--output is {folder} with {free / 1e6:.0f} MB free, and a report with its model needs up to "
            f"{ROOM_BYTES / 1e6:.0f} MB: make room, or name a folder elsewhere by --output"
        )
    return free


def _check_latest(link: Path) -> None:
    """That `point` may replace what is there."""
    if link.is_symlink():
        target = Path(os.path.normpath(link.parent / link.readlink()))
        if target.parent != link.parent or (target.exists() and not (target / MARK).is_file()):
            raise OutputError(f"{link} is a link to {link.readlink()}, which no run of Hone wrote: {WAY_OUT}")
    elif link.exists():
        if not (link / MARK).is_file():
            raise OutputError(f"{link} was not written by Hone, and is to lead to the newest run: {WAY_OUT}")
        _refuse_foreign(link)


def _refuse_foreign(folder: Path) -> None:
    made = _read_mark(folder)
    found = [name for top in NAMES for name in _foreign(folder, folder / top, made)]
    if found:
        shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
        since = " or that have changed since" if made.files else ""
        raise OutputError(
            f"--output is {folder}, which holds {shown}: files that Hone did not write there{since}, and a run would "
            f"replace them: name another folder by --output, or move them away"
        )


def _foreign(folder: Path, path: Path, made: _Made) -> list[str]:
    """Names below `folder` of what lies at `path`, or in it, and is not as Hone wrote it."""
    name = path.relative_to(folder).as_posix()
    if path.is_symlink():
        return [name]
    if path.is_dir():
        if not any(file.startswith(f"{name}/") for file in made.files):
            return [name]
        return [found for inner in sorted(path.iterdir()) for found in _foreign(folder, inner, made)]
    if not path.exists() or (path.is_file() and store.file_digest(path) in made.files.get(name, [])):
        return []
    return [name]


def _swap(folder: Path, room: Path) -> None:
    """The old go into the room, the new out of it, and the room is removed after it."""
    old = room / "old"
    old.mkdir()
    for name in NAMES:
        if (folder / name).exists():
            (folder / name).rename(old / name)
        if (room / name).exists():
            (room / name).rename(folder / name)


def _copy(source: Path, destination: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, destination)
    elif source.exists():
        shutil.copyfile(source, destination)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _read_mark(folder: Path) -> _Made:
    """What is no mark of Hone's says nothing, and then nothing there is taken for Hone's."""
    try:
        content: Any = json.loads((folder / MARK).read_text(encoding="utf-8"))
        files = {str(name): [str(digest) for digest in digests] for name, digests in content["files"].items()}
        rooms = [str(name) for name in content["rooms"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return _Made()
    own = [name for name in rooms if name.startswith(ROOM) and name == Path(name).name and (folder / name).is_dir()]
    return _Made(files, [name for name in own if not (folder / name).is_symlink()])


def _write_mark(folder: Path, made: _Made) -> None:
    content = {
        "about": "Hone wrote the files below, by sha256, and a later run into this folder replaces them and no others.",
        "files": made.files,
        "rooms": made.rooms,
    }
    store.write_text(folder / MARK, json.dumps(content, indent=1, sort_keys=True) + "\n")


def _unwritable(folder: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    remedy = "make room there, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return OutputError(f"--output is {folder}, which cannot be written: {reason}: {remedy}name another by --output")
