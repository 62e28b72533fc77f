"""What makes a stage's result reusable, and why it was or was not.

A result is filed under the digest of its ingredients: the settings the stage reads, the digests of its inputs, the
code that the stage runs and the versions of the libraries that shape it.
"""

import hashlib
import importlib.metadata
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hone.tasks import code, disk, lease, storage, store
from hone.tasks.contracts import VERSION

STAGES, OUTPUTS, TOKENIZED = "stages", "teacher_outputs", "tokenized"
LATEST, PARTIAL, LOCK = "latest-", ".partial", ".lock"
Ingredients = dict[str, str]


def gather(settings: dict[str, Any], inputs: dict[str, str], module: str, libraries: tuple[str, ...]) -> Ingredients:
    """Flat names and values of everything a result depends on.

    Args:
        settings: dotted keys to plain values, as `train.epochs`.
        inputs: names to digests.
        module: whose code makes it, with all that it imports (see `code.digests`).
        libraries: distribution names; those absent on this platform are left out.
    """
    result = {f"setting {key}": json.dumps(value, sort_keys=True) for key, value in settings.items()}
    result |= {f"input {name}": digest for name, digest in inputs.items()}
    result |= {f"code {file}": digest for file, digest in code.digests(module).items()}
    for name in libraries:
        try:
            result[f"library {name}"] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return result


def key_of(ingredients: Ingredients) -> str:
    """The name under which a result is filed."""
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:24]


def explain(before: Ingredients | None, now: Ingredients) -> str:
    """Why a result could not be reused, down to the setting that changed."""
    if before is None:
        return "first run of this stage"
    changes = []
    # What a person changed has a value before and after; what came or went with it is told after that.
    for name in sorted(before.keys() | now.keys(), key=lambda name: (not (name in before and name in now), name)):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        kind, _, rest = name.partition(" ")
        if kind == "setting":
            changes.append(f"{rest} {old if old is not None else 'absent'} -> {new if new is not None else 'absent'}")
        elif kind == "library":
            changes.append(f"library {rest} {old or 'absent'} -> {new or 'absent'}")
        else:
            changes.append(f"{kind} changed: {rest}")
    shown = changes[:5] + ([f"and {len(changes) - 5} more"] if len(changes) > 5 else [])
    return "; ".join(shown) if changes else "its result is no longer there"


class StageCache:
    """The finished results of one stage.

        <key>/<digest>/      a result's files, named by their content: one that is made again comes to lie beside it
        <key>/result.json    the contract, which names the folder that counts and is replaced in one rename
        latest-<owner>.json  what the owner's newest result was made of
        <key>.partial/       where it is made
        <key>.lock           who makes it (see `lease`)

    Args:
        place: folder of all stages (`RunContext.storage`); what it mirrors, if anything, is asked and told.
    """

    def __init__(self, place: Path, stage: str, owner: str) -> None:
        self._folder = place / STAGES / stage
        self._latest = self._folder / f"{LATEST}{owner}.json"

    def place(self, key: str) -> Path:
        """Where the results of a key lie once they are finished."""
        return self._folder / key

    def workspace(self, key: str) -> Path:
        """Where it is made. It outlives a killed run, so that training resumes from its last checkpoint."""
        return self._folder / f"{key}{PARTIAL}"

    def find(self, key: str) -> tuple[dict[str, Any] | None, str]:
        """The contract of a finished result, as plain values; None where there is none, with the reason where there is
        something that cannot be read."""
        file = self.place(key) / storage.MARKER
        if not storage.fetch(file):
            if not file.is_file():
                return None, ""
            storage.send(file.parent)  # finished here, and killed before all of it was sent
        content, reason = disk.read_json(file)
        if content is None:
            return None, reason
        disk.touch(file)
        version = content.pop("contracts", None)
        if version != VERSION:
            return (
                None,
                f"unreadable: {file} was written under contracts {version}, and these are {VERSION}; made again",
            )
        return content, ""

    def settle(self, key: str, folder: Path) -> Path:
        """Gives a finished folder its place, which nobody's result lies in yet, and returns it."""
        digest = store.folder_digest(folder)
        place = self.place(key) / digest.removeprefix("sha256:")[:16]
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists() and store.folder_digest(place) != digest:  # damaged: whoever reads it keeps what is there
            place = place.with_name(f"{place.name}-{uuid.uuid4().hex[:8]}")
        if place.exists():
            disk.discard(folder)
        else:
            disk.settle(folder, place)
        return place

    def file(self, key: str, place: Path, contract: dict[str, Any]) -> None:
        """Makes what `settle` placed the key's result."""
        storage.send(place)
        file = self.place(key) / storage.MARKER
        # Not as pydantic writes it: that turns infinity, which a failed comparison may measure, into null.
        disk.write_text(file, json.dumps({"contracts": VERSION, **contract}, indent=1))
        storage.send(file)

    def why(self, ingredients: Ingredients) -> str:
        """Why there is no result to be had."""
        if not storage.fetch(self._latest):
            return explain(None, ingredients)
        before, reason = disk.read_json(self._latest)
        return reason if before is None else explain(before, ingredients)

    def previous(self) -> Ingredients | None:
        """Ingredients of the owner's result before this one; None where there is none that can be read."""
        return disk.read_json(self._latest)[0] if storage.fetch(self._latest) else None

    def record(self, ingredients: Ingredients) -> None:
        """Records what the owner's newest result was made of."""
        disk.write_text(self._latest, json.dumps(ingredients, indent=1, sort_keys=True))
        storage.send(self._latest)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """One process at a time makes a result, of all that share the folder; a second waits and finds it. Two machines
        that share a bucket may both make it: the contract sent last counts, and each names files of its own."""
        with lease.held(self._folder / f"{key}{LOCK}"):
            yield
