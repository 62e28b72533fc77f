"""The files of a logged model, held against what was recorded when it was judged: nothing of it is opened before."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

TAG = "hone.files"
"""Tag of a version: the sha256 of every file of its logged model by path, as JSON. It stands in the registry's database
and not beside the files, so whoever can write the files cannot change it."""
ADDED_BY_MLFLOW = "registered_model_meta"
"""MLflow writes it into each copy that it fetches."""
SHOWN = 5


def digests_of(root: Path) -> dict[str, str]:
    """The sha256 of every file below a folder, by its path in it."""
    result = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name == ADDED_BY_MLFLOW or (path.is_dir() and not path.is_symlink()):
            continue
        with path.open("rb") as stream:
            result[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return result


def to_tag(digests: Mapping[str, str]) -> dict[str, str]:
    """The digests as the tag that records them."""
    return {TAG: json.dumps(digests, sort_keys=True, separators=(",", ":"))}


def difference(root: Path, recorded: str) -> str:
    """What is not as it was recorded, by name and in words; empty where every byte is.

    Args:
        recorded: value of the tag.
    """
    try:
        expected = json.loads(recorded)
    except ValueError:
        expected = None
    if not isinstance(expected, dict):
        return f"the tag {TAG} is not a list of files"
    found = digests_of(root)
    changed = [name for name in expected if name in found and found[name] != expected[name]]
    missing = [name for name in expected if name not in found]
    added = [name for name in found if name not in expected]
    told = [
        f"{', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''} {what}"
        for names, what in ((changed, "changed"), (missing, "missing"), (added, "added"))
        if names
    ]
    return "; ".join(told)
