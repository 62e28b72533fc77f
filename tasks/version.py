"""Which Hone and which code is running: a git commit where there is one, and a digest of the code itself."""

import functools
import hashlib
import socket
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from hone.tasks.errors import PreflightError

PACKAGES = ("flows", "tasks", "configs")


def hone_version() -> str:
    """Hone's version, such as `0.1.0`: of the checkout that this code lies in, else of what is installed.

    A checkout may be run by an environment that another one is installed into: what lies beside the code goes first.
    """
    project = _root() / "pyproject.toml"
    if project.is_file():
        told = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
        if told.get("name") == "hone":
            return str(told["version"])
    try:
        return metadata.version("hone")
    except metadata.PackageNotFoundError:
        return "unknown"


def code_version() -> str:
    """`git:<commit>`, `git:<commit>+<code digest>` where the code differs from it, or else `code:<code digest>`."""
    commit = git_commit()
    if not commit:
        return f"code:{code_digest()}"
    return f"git:{commit}+{code_digest()}" if _is_modified(_root()) else f"git:{commit}"


@functools.cache
def git_commit() -> str:
    """The commit that is checked out; empty where this code is not part of a git checkout.

    A package installed into an environment that happens to lie inside somebody's checkout is not part of it: this file
    has to be tracked there.
    """
    root = _root()
    tracked = _git(root, "ls-files", "--error-unmatch", str(Path(__file__).resolve()))
    return _git(root, "rev-parse", "HEAD") if tracked else ""


@functools.cache
def code_digest() -> str:
    """sha256 over the names and contents of Hone's Python files, as 16 hex digits."""
    total = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((_root() / package).rglob("*.py")):
            total.update(f"{path.relative_to(_root()).as_posix()}\0{_hex(path)}\n".encode())
    return total.hexdigest()[:16]


def check_code(expected: str) -> None:
    """Refuses to work with other code than that of whoever asks: what comes of it would be filed under theirs.

    Args:
        expected: the `code_digest` over there.

    Raises:
        PreflightError: naming both digests, this machine and the folder.
    """
    if code_digest() != expected:
        raise PreflightError(
            f"{socket.gethostname()} runs Hone's code {code_digest()} from {_root()}, and the run that asks it to "
            f"train has {expected}: install one version of Hone on all Ray nodes and start them again"
        )


def import_folder() -> Path:
    """Folder to have on the path for this very code to be imported, by any process."""
    top = sys.modules[__name__.partition(".")[0]]
    return Path(str(top.__file__)).resolve().parent.parent


def _root() -> Path:
    return Path(__file__).resolve().parent.parent


def _hex(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_modified(root: Path) -> bool:
    return bool(_git(root, "status", "--porcelain", "--", *(f"{package}/*.py" for package in PACKAGES)))


def _git(root: Path, *arguments: str) -> str:
    """What git prints; empty where git is absent or has no answer."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20, check=False
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
