"""A folder of files that is whole once `manifest.json` is there: it names each one's sha256, and is written last."""

from pathlib import Path

from hone.tasks import disk, storage, store

MANIFEST = "manifest.json"


def whole(folder: Path) -> tuple[dict[str, str], str]:
    """Digests of the files that are there and are what was written, and what is wrong with the rest."""
    found, reason = digests(folder / MANIFEST)
    there = {
        name: digest
        for name, digest in found.items()
        if (folder / name).is_file() and store.file_digest(folder / name) == digest
    }
    damaged = ", ".join(sorted(found.keys() - there.keys()))
    return there, reason or (f"damaged: {folder}: {damaged}; made again where needed" if damaged else "")


def digests(manifest: Path) -> tuple[dict[str, str], str]:
    """File to digest, as a manifest says; of one that cannot be read, none, and why."""
    if not manifest.is_file():
        return {}, ""
    content, reason = disk.read_json(manifest)
    found = (content or {}).get("digests")
    if not isinstance(found, dict):
        return {}, reason or f"unreadable: {manifest} names no digests; made again"
    return found, ""


def send(folder: Path, there: dict[str, str]) -> None:
    """Sends the files that the bucket, if there is one, lacks or has otherwise, and the manifest last.

    Args:
        there: as `whole` found them.
    """
    if not storage.is_mirror(folder):
        return
    theirs = disk.aside(folder / MANIFEST)
    try:
        storage.get(storage.uri_of(folder / MANIFEST), theirs)
        sent, _reason = digests(theirs)
    finally:
        theirs.unlink(missing_ok=True)
    lacking = [name for name, digest in there.items() if sent.get(name) != digest]
    for name in [*lacking, *([MANIFEST] if lacking else [])]:
        storage.send(folder / name)
