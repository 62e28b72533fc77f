"""What finished stages take on the disk: `hone cache ls`, `prune` and `verify`."""

import re
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hone.configs.recipe import RecipeError
from hone.tasks import cache_room, storage
from hone.tasks.errors import StorageError

UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def run_ls(place: str, console: Console) -> str:
    """Prints every finished result, the longest unused first, with its size, age and recipes, and what is left over.

    Returns:
        DONE, or INVALID where the storage is none.
    """
    folder = _folder(place, console)
    if folder is None:
        return "INVALID"
    found, left = cache_room.entries(folder), cache_room.left_over(folder)
    table = Table("stage", "key", "size", "unused for", "newest of", "", box=None, pad_edge=False)
    for entry in found:
        owners = ", ".join(entry.owners) or "no recipe"
        table.add_row(entry.stage, entry.key, told_bytes(entry.size_bytes), _age(entry.used), owners,
                      "in use" if entry.held else "")  # fmt: skip
    console.print(table)
    for path in left:
        console.print(f"left over  {told_bytes(cache_room.size_of(path))}  {path}", markup=False, highlight=False)
    total = sum(entry.size_bytes for entry in found) + sum(cache_room.size_of(path) for path in left)
    console.print(f"{told_bytes(total)} in {folder}", markup=False, highlight=False, soft_wrap=True)
    return "DONE"


def run_prune(place: str, max_size: str, dry: bool, console: Console) -> str:
    """Clears away what runs that died left over and, where a size is given, results until the rest fits into it.

    Returns:
        DONE, or INVALID where the storage or the size is none.
    """
    folder = _folder(place, console)
    try:
        limit = parse_size(max_size) if max_size else None
    except RecipeError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), markup=False, highlight=False)
        return "INVALID"
    if folder is None:
        return "INVALID"
    gone = cache_room.prune(folder, limit, dry)
    for why, path, size in gone:
        console.print(f"{told_bytes(size):>9}  {why}: {path}", markup=False, highlight=False, soft_wrap=True)
    rest = sum(entry.size_bytes for entry in cache_room.entries(folder))
    freed = told_bytes(sum(size for _why, _path, size in gone))
    console.print(f"{freed} {'would be ' if dry else ''}freed; results take {told_bytes(rest)}", highlight=False)
    if limit is not None and not dry and rest > limit:
        console.print(f"more than {max_size}, as runs that are going on use the rest", highlight=False)
    return "DONE"


def run_verify(place: str, console: Console) -> str:
    """Reads every finished result again and names those that are not what was written.

    Returns:
        DONE, FAILED where one is damaged, or INVALID where the storage is none.
    """
    folder = _folder(place, console)
    if folder is None:
        return "INVALID"
    wrong = cache_room.verify(folder)
    for name, reason in wrong.items():
        console.print(f"damaged  {name}: {reason}", markup=False, highlight=False, soft_wrap=True)
    whole = len(cache_room.entries(folder)) - len(wrong)
    console.print(
        f"{whole} whole, {len(wrong)} damaged" + ("; a run makes these again" if wrong else ""), highlight=False
    )
    return "FAILED" if wrong else "DONE"


def parse_size(text: str) -> int:
    """`5GB`, `500 MB` or `2GiB` in bytes.

    Raises:
        RecipeError: when it is no size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?", text.strip().upper())
    if match is None or match[2] not in UNITS:
        raise RecipeError(f"--max-size {text}: no size; write it as 5GB, 500MB or 2GiB")
    return int(float(match[1]) * UNITS[match[2]])


def told_bytes(size: int) -> str:
    """A size with three digits and its unit."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}" if size < 999.5 * unit else f"{size / unit:,.0f} {name}"
    return f"{size} B"


def _age(used: float) -> str:
    hours = max(time.time() - used, 0) / 3600
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.1f} hours"


def _folder(place: str, console: Console) -> Path | None:
    try:
        folder = storage.folder_of(place)
    except StorageError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), markup=False, highlight=False)
        return None
    if not storage.is_mirror(folder) and not folder.is_dir():
        Console(stderr=True, soft_wrap=True).print(
            f"{folder}: no such storage: name the folder that runs have as compute.storage by --storage",
            markup=False, highlight=False,
        )  # fmt: skip
        return None
    if storage.is_mirror(folder):
        console.print(f"{place}: what this machine has of it, in {folder}; the bucket keeps the rest", highlight=False)
    return folder
