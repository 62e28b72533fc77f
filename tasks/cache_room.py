"""What the finished stages take on the disk: listed, checked against their digests, and cleared away down to a size.

Of what lies in `compute.storage` a run needs nothing for ever: whatever is cleared away is made again. What a run that
is going on uses is never taken from it: it says so in a file that it renews (see `using`).
"""

import contextlib
import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hone.tasks import cache, disk, lease, storage, store
from hone.tasks.contracts import Artifact
from hone.tasks.errors import DamagedArtifactError, StorageError, UnsafeFileError
from hone.tasks.manifest import MANIFEST

USES = "running"
"""Folder with a file for each run that is going on."""
KEY, PLACE = re.compile(r"[0-9a-f]{24}"), re.compile(r"[0-9a-f]{16}(-[0-9a-f]{8})?")
"""Names that Hone gives; whatever else lies there is somebody's."""
MADE_AGAIN = (cache.OUTPUTS, cache.TOKENIZED)
"""Folders of what is no stage's result, and is made again by whoever needs it."""
LEFT_SECONDS = 3600.0
"""What nobody holds and nobody has touched for so long was left behind."""


@dataclass(frozen=True)
class Entry:
    """A result, what one teacher says about one training split, or a split that is tokenized."""

    stage: str
    key: str
    path: Path
    owners: list[str]
    """Recipes whose newest it is."""
    size_bytes: int
    used: float
    """When it was made or last found, in seconds since 1970."""
    held: bool
    """A run that is going on uses it, or makes it."""


@contextmanager
def using(place: Path) -> Iterator[None]:
    """While the block lasts, nothing that was used since it began is cleared away."""
    mark = place / USES / f"{uuid.uuid4().hex}.lock"
    began = time.time()
    with lease.held(mark):
        # Beside the lease, as that is its owner's alone: from when on what is used is this run's.
        since = mark.with_suffix(".since")
        disk.write_text(since, json.dumps({"since": began}))
        try:
            yield
        finally:
            since.unlink(missing_ok=True)


def entries(place: Path) -> list[Entry]:
    """All that is finished below a storage's folder, the longest unused first."""
    since = _held_since(place)
    found = []
    for stage in sorted(path for path in (place / cache.STAGES).glob("*") if path.is_dir()):
        newest = _newest(stage)
        for pointer in stage.glob(f"*/{storage.MARKER}"):
            if KEY.fullmatch(pointer.parent.name):
                found.append(_entry(stage.name, pointer, newest.get(pointer.parent.name, []), since))
    found += _made_again(place, since)
    return sorted(found, key=lambda entry: entry.used)


def left_over(place: Path) -> list[Path]:
    """What runs that died left behind: half-made results that nobody has gone on with for an hour, files on their way,
    results that another took the place of, and the locks of nobody."""
    before = min(time.time() - LEFT_SECONDS, _held_since(place))
    result = []
    for stage in [
        *(path for path in (place / cache.STAGES).glob("*") if path.is_dir()),
        *(place / kind for kind in MADE_AGAIN),
        place / USES,
    ]:
        for path in stage.glob("*"):
            lock = path.with_name(path.name.removesuffix(cache.PARTIAL) + cache.LOCK)
            unused = _touched(path) < before
            if disk.LEFT_OVER.search(path.name):
                result += [path] if unused else []
            elif path.suffix == ".since":
                result += [path] if unused and lease.is_free(path.with_suffix(cache.LOCK)) else []
            elif not KEY.match(path.name):
                continue
            elif path.name.endswith(cache.LOCK):
                result += [path] if unused and lease.is_free(path) else []
            elif path.name.endswith(cache.PARTIAL):
                result += [path] if _newest_touch(path) < before and lease.is_free(lock) else []
            elif KEY.fullmatch(path.name) and path.is_dir() and stage.parent.name == cache.STAGES:
                result += [old for old in _superseded(path) if _touched(old) < before]
    return result


def prune(place: Path, max_bytes: int | None, dry: bool = False) -> list[tuple[str, Path, int]]:
    """Clears away what is left over, and then results, until all of them take at most `max_bytes`: first those that are
    no recipe's newest, and of these and of the rest the longest unused. What a run uses stays, whatever its size.

    Args:
        max_bytes: None clears away what is left over alone.
        dry: only says what it would do.

    Returns:
        Why, what, and how many bytes of each.
    """
    gone = [("left over", path, size_of(path)) for path in left_over(place)]
    there = entries(place)
    total = sum(entry.size_bytes for entry in there)
    for entry in sorted(there, key=lambda entry: (bool(entry.owners), entry.used)):
        if max_bytes is None or total <= max_bytes:
            break
        if not entry.held:
            when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(entry.used))
            gone.append((f"unused since {when} UTC", entry.path, entry.size_bytes))
            total -= entry.size_bytes
    for _why, path, _size in [] if dry else gone:
        disk.discard(path)
    return gone


def clear_outputs(place: Path) -> int:
    """Clears away what teachers said, and splits that were tokenized, that are no recipe's newest and that no run uses:
    several times the size of all other results, and made again by asking once. To be called when a run's last stage
    that reads them has finished.

    Returns:
        Bytes that are free again.
    """
    freed = 0
    for entry in _made_again(place, _held_since(place)):
        if not entry.owners and not entry.held:
            with lease.held(entry.path.with_name(f"{entry.key}{cache.LOCK}")):
                if _touched(entry.path / MANIFEST) < _held_since(place):  # nobody has come to use it meanwhile
                    disk.discard(entry.path)
                    freed += entry.size_bytes
    return freed


def verify(place: Path) -> dict[str, str]:
    """Result to what is wrong with it, of all whose files are not what their digests say, or cannot be read."""
    wrong = {}
    for pointer in sorted((place / cache.STAGES).glob(f"*/*/{storage.MARKER}")):
        name = f"{pointer.parent.parent.name}/{pointer.parent.name}"
        content, reason = disk.read_json(pointer)
        try:
            for artifact in _artifacts(content):
                store.open_artifact(artifact)
        except (DamagedArtifactError, UnsafeFileError, StorageError) as error:
            reason = str(error)
        if reason:
            wrong[name] = reason
    for file in sorted(path for kind in MADE_AGAIN for path in (place / kind).glob(f"*/{MANIFEST}")):
        content, reason = disk.read_json(file)
        digests = (content or {}).get("digests", {})
        bad = [name for name, digest in digests.items() if not _is(file.parent / name, digest)]
        if reason or bad:
            name = f"{file.parent.parent.name}/{file.parent.name}"
            wrong[name] = reason or f"{', '.join(sorted(bad))} changed or absent"
    return wrong


def size_of(path: Path) -> int:
    """Bytes of a file or of all files of a folder."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_symlink() or file.is_file())


def _made_again(place: Path, since: float) -> list[Entry]:
    result = []
    for kind in MADE_AGAIN:
        newest = _newest(place / kind)
        manifests = [path for path in (place / kind).glob(f"*/{MANIFEST}") if KEY.fullmatch(path.parent.name)]
        result += [_entry(kind, file, newest.get(file.parent.name, []), since) for file in manifests]
    return result


def _entry(stage: str, pointer: Path, owners: list[str], since: float) -> Entry:
    folder, used = pointer.parent, _touched(pointer)
    lock = folder.with_name(f"{folder.name}{cache.LOCK}")
    held = used >= since or not lease.is_free(lock)
    return Entry(stage, folder.name, folder, owners, size_of(folder), used, held)


def _newest(stage: Path) -> dict[str, list[str]]:
    """Key to the recipes whose newest result it is."""
    result: dict[str, list[str]] = {}
    for latest in sorted(stage.glob(f"{cache.LATEST}*.json")):
        ingredients, _reason = disk.read_json(latest)
        if ingredients:
            owner = latest.name.removeprefix(cache.LATEST).removesuffix(".json")
            if stage.name == cache.TOKENIZED:  # a recipe has several, for one stage and split each
                owner = owner.rpartition(".")[0]
            owners = result.setdefault(cache.key_of(ingredients), [])
            owners += [] if owner in owners else [owner]
    return result


def _held_since(place: Path) -> float:
    """When the oldest run began that is still going on."""
    since = float("inf")
    for mark in (place / USES).glob("*.lock"):
        if not lease.is_free(mark):
            content, _reason = disk.read_json(mark.with_suffix(".since"))
            since = min(since, float((content or {}).get("since", 0.0)))
    return since


def _superseded(folder: Path) -> list[Path]:
    """Folders of a key that its contract does not name: made again since, or never finished."""
    pointer = folder / storage.MARKER
    content, _reason = disk.read_json(pointer) if pointer.is_file() else (None, "")
    if content is None:
        return [folder] if not pointer.is_file() else []
    named = [store.local_path(artifact) for artifact in _artifacts(content)]
    children = [path for path in folder.iterdir() if PLACE.fullmatch(path.name) and path.is_dir()]
    current = {path for path in children if any(artifact.is_relative_to(path) for artifact in named)}
    return [path for path in children if path not in current] if current else []


def _artifacts(value: Any) -> list[Artifact]:
    """Every artifact in a contract's plain values whose files are this result's own or another's."""
    if isinstance(value, dict):
        if {"uri", "digest", "size_bytes"} <= value.keys():
            return [Artifact.model_validate(value)]
        return [found for inner in value.values() for found in _artifacts(inner)]
    return [found for inner in value for found in _artifacts(inner)] if isinstance(value, list) else []


def _is(file: Path, digest: str) -> bool:
    return file.is_file() and store.file_digest(file) == digest


def _touched(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.lstat().st_mtime
    return time.time()


def _newest_touch(folder: Path) -> float:
    return max([_touched(folder), *(_touched(path) for path in folder.rglob("*"))])
