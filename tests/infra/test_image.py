"""The image is built from the lock alone, runs as nobody special, and says nothing of where it was built."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "infra" / "image" / "Dockerfile"
TEXT = DOCKERFILE.read_text()


def stages() -> dict[str, str]:
    """The instructions of each stage, comments left out, by its name."""
    plain = "\n".join(line for line in TEXT.splitlines() if not line.startswith("#"))
    parts = re.split(r"^FROM (\S+) AS (\S+)$", plain, flags=re.M)[1:]
    return {name: f"FROM {base}{body}" for base, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True)}


def test_the_linter_finds_nothing() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_target_that_runs_has_a_user_of_its_own() -> None:
    found = stages()
    assert {"cpu", "cuda", "s3"} <= set(found)
    for name in ("base", "s3"):
        assert re.findall(r"^USER (.*)$", found[name], re.M)[-1].split(":")[0] not in ("root", "0")
    for name in ("cpu", "cuda"):
        assert found[name].startswith("FROM base\n")
        assert "USER" not in found[name]


def test_it_installs_the_lock_as_a_checkout_does() -> None:
    assert "python infra/setup_venv.py" in stages()["installed"]
    assert "infra/requirements.lock" in stages()["installed"]


def test_it_names_no_registry_and_no_place_on_the_machine_that_builds_it() -> None:
    assert "://" not in TEXT
    assert not re.findall(r"--index-url|--find-links|--trusted-host", TEXT)


def test_the_context_holds_what_is_copied_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {
        source.rstrip("/")
        for words in re.findall(r"^COPY (?!--from)(.*)$", TEXT, re.M)
        for source in words.split()[:-1]
    }
    assert copied == let_in
    assert all((ROOT / path).exists() for path in copied)


def test_the_store_is_the_one_that_the_servers_test_runs() -> None:
    from tests.servers.services import STORE_PACKAGE

    assert STORE_PACKAGE in TEXT
