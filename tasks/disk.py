"""The one place where files and folders come to lie: flushed to the disk before they are renamed, under names that no
other process, container or machine that shares the folder draws too."""

import contextlib
import json
import os
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

NEW, RETIRED = "new", "retired"
LEFT_OVER = re.compile(rf"\.[0-9a-f]{{32}}\.({NEW}|{RETIRED})$")
"""How names end of what is on its way to its place, or out of it: left there by a process that died."""


def aside(path: Path, kind: str = NEW) -> Path:
    """A name of its own beside a path."""
    return path.with_name(f"{path.name}.{uuid.uuid4().hex}.{kind}")


def flush(path: Path) -> None:
    """Has the disk hold a file, or all of a folder, before anything says that it is there."""
    if path.is_dir():
        for child in path.iterdir():
            flush(child)
    _sync(path)


def settle(new: Path, place: Path) -> None:
    """Renames a file, or a folder where there is none yet, into its place, once the disk holds all of it."""
    flush(new)
    new.replace(place)
    _sync(place.parent)


def write_text(path: Path, text: str) -> None:
    """Writes a file beside its place and renames it in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = aside(path)
    try:
        beside.write_text(text, encoding="utf-8")
        settle(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read_json(file: Path) -> tuple[dict[str, Any] | None, str]:
    """A JSON object; None, and the reason, where the file holds none: a power cut, or a full disk, left it so."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return None, f"unreadable: {file}: {error}; made again"
    return (content, "") if isinstance(content, dict) else (None, f"unreadable: {file} holds no object; made again")


def replace_folder(source: Path, destination: Path) -> None:
    """Moves a finished folder into place, so that nobody ever sees half of it. What `recover` finds after a kill on the
    way is the old one."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    if destination.exists():
        retired = aside(destination, RETIRED)
        destination.rename(retired)
        settle(source, destination)
        shutil.rmtree(retired)
    else:
        settle(source, destination)


def recover(destination: Path) -> None:
    """Puts back what `replace_folder` had taken away when it was killed, and clears away what else it left."""
    left = [path for path in destination.parent.glob(f"{destination.name}.*") if LEFT_OVER.search(path.name)]
    for path in left:
        if not destination.exists() and path.name.endswith(RETIRED):
            path.rename(destination)
        else:
            discard(path)


def discard(path: Path) -> None:
    """Deletes a file, a folder or a link, not what it leads to; one that is not there is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def closed_parent(path: Path) -> Path | None:
    """The nearest parent of a path that is there, if nothing can be made in it; None where the path can be made."""
    parent = next(folder for folder in path.parents if folder.exists())
    return None if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK) else parent


def touch(path: Path) -> None:
    """Notes that a file was used just now; where that may not be written, it is not noted."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _sync(path: Path) -> None:
    """Flushes one file, or a folder's list of names."""
    with contextlib.suppress(OSError):  # a folder cannot be flushed everywhere, and not all file systems flush at all
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
