"""The code version names the commit, and the code itself where no commit holds it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import version

ROOT = Path(version.__file__).resolve().parent.parent


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages somewhere else, outside any checkout."""
    for package in version.PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / "hone" / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "hone"


def code_version(folder: Path) -> str:
    script = "from tasks.version import code_version; print(code_version())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_outside_a_checkout_it_is_the_digest_of_the_code_wherever_it_lies(copy: Path, tmp_path: Path) -> None:
    before = code_version(copy)
    assert before.startswith("code:")
    assert code_version(copy.rename(tmp_path / "elsewhere")) == before
    copy = tmp_path / "elsewhere"
    (copy / "tasks" / "store.py").write_text("# changed\n")
    assert code_version(copy) != before


def test_inside_somebody_elses_checkout_it_is_still_the_digest(copy: Path) -> None:
    git(copy, "init", "-q")
    git(copy, "commit", "-q", "--allow-empty", "-m", "theirs")
    assert code_version(copy).startswith("code:")


def test_in_its_own_checkout_it_is_the_commit_and_says_when_the_code_differs(copy: Path) -> None:
    git(copy, "init", "-q")
    git(copy, "add", ".")
    git(copy, "commit", "-q", "-m", "ours")
    commit = git(copy, "rev-parse", "HEAD")
    assert code_version(copy) == f"git:{commit}"
    (copy / "notes.txt").write_text("not code")
    assert code_version(copy) == f"git:{commit}"
    (copy / "tasks" / "store.py").write_text("# changed\n")
    assert code_version(copy).startswith(f"git:{commit}+")
