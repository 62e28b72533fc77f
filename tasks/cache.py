"""What makes a stage's result reusable, and why it was or was not.

A result is filed under the digest of its ingredients: the settings the stage reads, the digests of its inputs, the
code that the stage runs and the versions of the libraries that shape it.
"""

import fcntl
import hashlib
import importlib.metadata
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks import code, storage
from tasks.store import write_text

Ingredients = dict[str, str]


def gather(settings: dict[str, Any], inputs: dict[str, str], module: str, libraries: tuple[str, ...]) -> Ingredients:
    """Flat names and values of everything a result depends on.

    Args:
        settings: dotted keys to plain values, as `train.epochs`.
        inputs: names to digests.
        module: whose code makes it, with all that it imports (see `code.digests`).
        libraries: distribution names; those absent on this platform are left out.
    """
    found = {f"setting {key}": json.dumps(value, sort_keys=True) for key, value in settings.items()}
    found |= {f"input {name}": digest for name, digest in inputs.items()}
    found |= {f"code {file}": digest for file, digest in code.digests(module).items()}
    for name in libraries:
        try:
            found[f"library {name}"] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def key_of(ingredients: Ingredients) -> str:
    """The name under which a result is filed."""
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:24]


def explain(before: Ingredients | None, now: Ingredients) -> str:
    """Why a result could not be reused, down to the setting that changed."""
    if before is None:
        return "first run of this stage"
    changes = []
    for name in sorted(before.keys() | now.keys()):
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


class Shelf:
    """The finished results of one stage: `<key>/` holds the files, `<key>/result.json` the contract.

    Args:
        place: folder of all stages (`RunContext.storage`); what it mirrors, if anything, is asked and told.
    """

    def __init__(self, place: Path, stage: str, owner: str) -> None:
        self._folder = place / "stages" / stage
        self._latest = self._folder / f"latest-{owner}.json"

    def place(self, key: str) -> Path:
        """Where the result of a key lies once it is finished."""
        return self._folder / key

    def workshop(self, key: str) -> Path:
        """Where it is made. It outlives a killed run, so that training resumes from its last checkpoint."""
        return self._folder / f"{key}.partial"

    def find(self, key: str) -> dict[str, Any] | None:
        """The contract of a finished result, as plain values; None where there is none."""
        file = self.place(key) / storage.MARKER
        if not storage.fetch(file):
            if not file.is_file():
                return None
            storage.send(file.parent)  # finished here, and killed before all of it was sent
        contract: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return contract

    def previous(self) -> Ingredients | None:
        """Ingredients of the owner's result before this one."""
        return json.loads(self._latest.read_text(encoding="utf-8")) if storage.fetch(self._latest) else None

    def remember(self, ingredients: Ingredients) -> None:
        """Records what the owner's newest result was made of."""
        write_text(self._latest, json.dumps(ingredients, indent=1, sort_keys=True))
        storage.send(self._latest)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """One process of this machine at a time makes a result; a second waits and finds it. The kernel frees a dead
        one's lock. Two machines that share a bucket may both make a result: the one sent last is kept, and as readers
        check digests, nobody takes a mixture of the two for either."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{key}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
