"""Where finished stages lie: in a folder, or in a bucket that a folder of this machine mirrors.

Stages work on files. Where `compute.storage` is `s3://BUCKET/PREFIX` they work on those of the bucket's mirror,
`$HONE_MIRROR/BUCKET/PREFIX` (by default below `~/.cache/hone/s3`): what is done there is sent, and what is not there is
fetched, so that whichever machine needs it has it. A mirror can be deleted whenever nothing runs. For a path that is in
no mirror, sending and fetching do nothing.

The bucket is reached as every client of AWS does it: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a role,
AWS_DEFAULT_REGION, and AWS_ENDPOINT_URL for another store than Amazon's.
"""

import functools
import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from hone.tasks import disk, lease
from hone.tasks.errors import StorageError

SCHEME = "s3://"
MARKER, COUNTERS = "result.json", "counters.json"
"""Of a stage or a training that is finished, and of a point to resume from. Sent last: where one is, all of it is."""
LOCKS = ".locks"  # no bucket's name begins with a dot
CONNECT_SECONDS, REQUEST_SECONDS, ATTEMPTS = 5, 60, 4


def folder_of(location: str) -> Path:
    """The folder of this machine that a storage, or a URI within one, stands for: itself, or the bucket's mirror."""
    if location.startswith(SCHEME):
        key = unquote(location.removeprefix(SCHEME)).strip("/")
        if not key or ".." in key.split("/"):
            raise StorageError(f"'{location}' names no bucket: give {SCHEME}BUCKET/PREFIX")
        return _mirrors() / key
    if location.startswith("file:"):
        return Path(url2pathname(urlsplit(location).path))
    if "://" in location:
        raise StorageError(f"'{location}' is neither a folder nor {SCHEME}BUCKET/PREFIX")
    return Path(location).expanduser().resolve()


def uri_of(path: Path) -> str:
    """How a path is known to other machines: `s3:` in a mirror, else `file:`."""
    key = _key(path)
    return path.resolve().as_uri() if key is None else f"{SCHEME}{key}"


def is_mirror(path: Path) -> bool:
    """Whether a path is one of a bucket's mirror."""
    return _key(path) is not None


def send(path: Path) -> None:
    """Puts a file or folder of a mirror where it belongs in the bucket (see `put`)."""
    if is_mirror(path):
        put(path, uri_of(path))


def put(source: Path, uri: str) -> None:
    """Puts a file, or a whole folder in place of whatever the bucket has under its name, markers last."""
    with _reached(uri) as (bucket, key):
        if source.is_file():
            _copy(source, key, to=bucket)
            return
        _delete(bucket, key)
        for child in sorted(source.iterdir(), key=lambda path: path.name in (MARKER, COUNTERS)):
            _copy(child, f"{key}/{child.name}", to=bucket)


def fetch(path: Path, unless: Callable[[Path], bool] = lambda _path: False) -> bool:
    """Brings a file or folder of a mirror as it lies in the bucket, in place of what is here. One process at a time.

    Args:
        unless: says of what is here that it need not be replaced.

    Returns:
        Whether the bucket has it; outside of a mirror, whether it is here.
    """
    if not is_mirror(path):
        return path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive_lock(path):
        return unless(path) or get(uri_of(path), path)


def get(uri: str, path: Path) -> bool:
    """Brings what a bucket has to any place of this machine, whole or not at all; False where it has no such thing."""
    beside = disk.aside(path)
    try:
        with _reached(uri) as (bucket, key):
            if not _is_there(bucket, key):
                return False
            _copy(beside, key, out_of=bucket)
        if path.is_dir():
            disk.replace_folder(beside, path)
        else:
            disk.settle(beside, path)
    finally:
        disk.discard(beside)
    return True


def fetch_files(folder: Path, names: Collection[str]) -> None:
    """Brings those files below a folder of a mirror that have one of the names; others are left where they are."""
    if not is_mirror(folder):
        return
    with _reached(uri_of(folder)) as (bucket, key):
        for found in _files(bucket, key):
            if found.rpartition("/")[2] in names:
                place = folder / found.removeprefix(f"{key}/")
                place.parent.mkdir(parents=True, exist_ok=True)
                _copy(place, found, out_of=bucket)


def remove(path: Path) -> None:
    """Deletes a file or folder, here and in the bucket; one that is not there is no error."""
    if is_mirror(path):
        delete(uri_of(path))
    disk.discard(path)


def delete(uri: str) -> None:
    """Deletes what a bucket has under a name, if anything."""
    with _reached(uri) as (bucket, key):
        _delete(bucket, key)


def children(uri: str) -> set[str]:
    """Names of the files and folders in a folder of a bucket."""
    with _reached(uri) as (bucket, key):
        return {found.removeprefix(f"{key}/").partition("/")[0] for found in _files(bucket, key)}


def check(location: str) -> str:
    """Whether a storage answers and can be written, in one line; a folder is not looked at.

    Raises:
        StorageError: naming the bucket, what happened and what to do.
    """
    if not location.startswith(SCHEME):
        return ""
    with _reached(f"{uri_of(folder_of(location))}/written-and-deleted-by-hone-check") as (bucket, key):
        with bucket.open_output_stream(key) as stream:
            stream.write(b"hone")
        bucket.delete_file(key)
    return f"{location} answers"


def filesystem() -> Any:
    """The store as a `pyarrow.fs.FileSystem` in which a bucket is a folder; one for each store and account that the
    environment names."""
    return _filesystem(frozenset((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))


@functools.lru_cache(maxsize=8)
def _filesystem(_variables: frozenset[tuple[str, str]]) -> Any:
    from pyarrow import fs

    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "")
    options: dict[str, Any] = {}
    if endpoint.netloc:
        options = {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme}
    return fs.S3FileSystem(
        **options,
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


def _mirrors() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("HONE_MIRROR") or f"{caches}/hone/s3").expanduser().resolve()


def _key(path: Path) -> str | None:
    """BUCKET/PATH of a path in a mirror; None of any other."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root := _mirrors()) and path != root else None


@contextmanager
def _reached(uri: str) -> Iterator[tuple[Any, str]]:
    """The store, and BUCKET/PATH in it; what it complains of becomes an error that says what to do."""
    try:
        yield filesystem(), uri.removeprefix(SCHEME)
    except OSError as error:
        reason = re.sub(r"\s+", " ", str(error)).strip()
        raise StorageError(
            f"compute.storage: {uri} cannot be read or written: {reason}. See that the bucket is there, that "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a role) may read and write it, and that AWS_ENDPOINT_URL "
            "names the store where it is not Amazon's; on the Ray nodes too"
        ) from error


def _is_there(bucket: Any, key: str) -> bool:
    """A file, or a folder with files: some stores keep the names of folders that have been emptied."""
    from pyarrow import fs

    return bool(bucket.get_file_info(key).type == fs.FileType.File or _files(bucket, key))


def _files(bucket: Any, key: str) -> list[str]:
    from pyarrow import fs

    found = bucket.get_file_info(fs.FileSelector(key, allow_not_found=True, recursive=True))
    return [info.path for info in found if info.type == fs.FileType.File]


def _delete(bucket: Any, key: str) -> None:
    from pyarrow import fs

    if bucket.get_file_info(key).type == fs.FileType.File:
        bucket.delete_file(key)
    elif _files(bucket, key):
        bucket.delete_dir(key)


def _copy(path: Path, key: str, *, to: Any = None, out_of: Any = None) -> None:
    """A file or folder from here to the store, or out of it."""
    from pyarrow import fs

    here = fs.LocalFileSystem()
    if to is not None:
        to.create_dir(key if path.is_dir() else key.rpartition("/")[0], recursive=True)
        fs.copy_files(str(path), key, here, to)
    else:
        if out_of.get_file_info(key).type == fs.FileType.Directory:
            path.mkdir(parents=True, exist_ok=True)
        fs.copy_files(key, str(path), out_of, here)


@contextmanager
def _exclusive_lock(path: Path) -> Iterator[None]:
    """The only process that fetches this path into this mirror."""
    with lease.held(_mirrors() / LOCKS / hashlib.sha256(str(path).encode()).hexdigest()[:24]):
        yield
