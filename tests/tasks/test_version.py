"""The code version names the commit, and the code itself where no commit holds it."""

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from hone.tasks import version

ROOT = Path(version.__file__).resolve().parent.parent


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages somewhere else, outside any checkout."""
    for package in version.PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / "hone" / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(
        ROOT / "hone", tmp_path / "hone" / "hone", symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path / "hone"


def code_version(folder: Path) -> str:
    script = "from hone.tasks.version import code_version; print(code_version())"
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


def test_code_that_differs_from_the_askers_is_refused_naming_both_digests(copy: Path) -> None:
    """Two trees of code: this one asks, and the copy, once it is changed, is to train."""
    program = (
        "import sys\nfrom hone.tasks.version import check_code, code_digest\n"
        "print(code_digest())\ncheck_code(sys.argv[1])"
    )

    def ask(expected: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, expected]
        return subprocess.run(
            command, cwd=copy, env={"PYTHONPATH": str(copy)}, capture_output=True, text=True, check=False
        )

    assert ask(version.code_digest()).returncode == 0
    (copy / "tasks" / "store.py").write_text("# changed\n")
    refused = ask(version.code_digest())
    other = refused.stdout.strip()
    assert other != version.code_digest()
    assert f"PreflightError: {version.socket.gethostname()} runs Hone's code {other} from" in refused.stderr
    assert f"the run that asks it to train has {version.code_digest()}: install one version" in refused.stderr


def test_the_version_is_that_of_the_checkout_and_else_of_what_is_installed(copy: Path) -> None:
    def told() -> str:
        script = "from hone.tasks.version import hone_version; print(hone_version())"
        environment = {"PYTHONPATH": str(copy), "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-c", script]
        return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=True).stdout

    assert told() == f"{metadata.version('hone')}\n"
    (copy / "pyproject.toml").write_text('[project]\nname = "another"\nversion = "7"\n')
    assert told() == f"{metadata.version('hone')}\n"
    (copy / "pyproject.toml").write_text('[project]\nname = "hone"\nversion = "9.8.7"\n')
    assert told() == "9.8.7\n"
