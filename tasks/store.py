"""Artifacts on disk: written beside and renamed into place, named by content, checked when read."""

import hashlib
import shutil
from pathlib import Path

from hone.tasks import disk, storage
from hone.tasks.contracts import Artifact
from hone.tasks.errors import DamagedArtifactError, UnsafeFileError

PICKLE_ENDINGS = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}


def file_digest(path: Path) -> str:
    """sha256 of one file, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """sha256 over the sorted names and contents of every file below a folder, as `sha256:<hex>`."""
    total = hashlib.sha256()
    for path in _files(folder):
        total.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return f"sha256:{total.hexdigest()}"


def describe(folder: Path, made_from: list[str], final: Path | None = None) -> Artifact:
    """The artifact in a folder; `final` is where it will lie once it is renamed into place."""
    return Artifact(
        uri=storage.uri_of(final or folder),
        digest=folder_digest(folder),
        made_from=made_from,
        size_bytes=sum(path.stat().st_size for path in _files(folder)),
    )


def local_path(artifact: Artifact) -> Path:
    """Where an artifact lies on this machine, or will once it is fetched; unchecked."""
    return storage.folder_of(artifact.uri)


def open_artifact(artifact: Artifact) -> Path:
    """Where an artifact lies, once its content is checked against its digest. One that a bucket has is fetched, unless
    it is here already.

    Raises:
        DamagedArtifactError: when a file is absent or differs.
        UnsafeFileError: when a pickle lies among the files.
    """
    folder = local_path(artifact)
    if not folder.is_dir() and storage.is_mirror(folder):
        _fetch(artifact, folder)
    if not folder.is_dir():
        raise DamagedArtifactError(f"{folder}: absent, though {artifact.digest} is recorded there; run with --fresh")
    refuse_pickles(folder)
    found = folder_digest(folder)
    if found != artifact.digest and storage.is_mirror(folder):
        _fetch(artifact, folder)
        refuse_pickles(folder)
        found = folder_digest(folder)
    if found != artifact.digest:
        raise DamagedArtifactError(
            f"{folder}: its content is {found}, not {artifact.digest} as recorded; run with --fresh"
        )
    return folder


def refuse_pickles(folder: Path) -> None:
    """Refuses a folder with files that could hold a pickle.

    Raises:
        UnsafeFileError: naming each file that could hold a pickle; only safetensors and ONNX are ever loaded.
    """
    pickles = [str(path.relative_to(folder)) for path in _files(folder) if path.suffix.lower() in PICKLE_ENDINGS]
    if pickles:
        raise UnsafeFileError(
            f"{folder}: refuses {', '.join(pickles)}: a pickle runs code when it is loaded. "
            "Only safetensors and ONNX are read; convert it, or remove the file"
        )


def replace_folder(source: Path, destination: Path) -> None:
    """Moves a finished folder into place, so that nobody ever sees half of it."""
    disk.replace_folder(source, destination)


def write_text(path: Path, text: str) -> None:
    """Writes a file beside its place and renames it in, once the disk holds it."""
    disk.write_text(path, text)


def copy_folder(source: Path, destination: Path) -> None:
    """Copies a folder to its place, which changes in one rename."""
    beside = disk.aside(destination)
    try:
        shutil.copytree(source, beside)
        replace_folder(beside, destination)
    finally:
        disk.discard(beside)


def _fetch(artifact: Artifact, folder: Path) -> None:
    """Unless another process has done it by now: whoever reads there would lose its files."""
    storage.fetch(folder, unless=lambda here: here.is_dir() and folder_digest(here) == artifact.digest)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
