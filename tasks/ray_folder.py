"""Where a Ray of this machine keeps its sockets: below the folder for temporary files, unless its name is too long."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hone.tasks.errors import PreflightError

LONGEST = 40
"""Ray appends some 64 characters to make the names of sockets, and Linux allows 107 (macOS 103)."""
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "~")


def fits(folder: Path | str) -> bool:
    """Whether Ray can make its sockets below a folder."""
    return len(os.fsencode(folder)) <= LONGEST


def short_folder(candidates: Sequence[str] = SHORT_FOLDERS) -> Path | None:
    """A new folder for Ray, private to this user, where the usual one has too long a name, as TMPDIR has under many
    schedulers; None where the usual one will do.

    Raises:
        PreflightError: when no folder with a short name can be written.
    """
    usual = Path(tempfile.gettempdir(), "ray")
    if fits(usual):
        return None
    for candidate in candidates:
        place = Path(candidate).expanduser()
        if fits(place / "hone-ray-12345678") and place.is_dir() and os.access(place, os.W_OK | os.X_OK):
            return Path(tempfile.mkdtemp(prefix="hone-ray-", dir=place))
    raise PreflightError(
        f"TMPDIR is '{tempfile.gettempdir()}': names of Ray's sockets below it are longer than the 107 bytes a system "
        f"allows, and none of {', '.join(candidates)} can be written: set TMPDIR to a folder of at most "
        f"{LONGEST - len('/ray')} characters"
    )
