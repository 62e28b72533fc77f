"""What is installed is called `hone` and nothing else, and works wherever it is called."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hone.tasks import version

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("configs", "flows", "hone", "tasks")
HOSTILE = "raise SystemExit(__name__ + ' of the project was imported')\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the backend builds from, where nothing that it leaves behind lies in the checkout."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, folder / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def built(source: Path, hook: str) -> zipfile.ZipFile:
    """A wheel by the build backend itself, without a registry."""
    script = f"import sys, setuptools.build_meta as backend; print(backend.{hook}(sys.argv[1]))"
    command = [sys.executable, "-c", script, str(source / "dist")]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    return zipfile.ZipFile(source / "dist" / done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def wheel(source: Path) -> zipfile.ZipFile:
    return built(source, "build_wheel")


def test_a_wheel_puts_hone_into_site_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {re.sub(r"-[\d.]+\.dist-info$", ".dist-info", top) for top in tops} == {"hone", "hone.dist-info"}


def test_a_wheel_holds_every_module_and_what_is_read_beside_them(wheel: zipfile.ZipFile) -> None:
    modules = {
        f"hone/{path.relative_to(ROOT).as_posix()}".replace("hone/hone/", "hone/")
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if not path.is_relative_to(ROOT / "hone") or path.parent == ROOT / "hone"
    }
    templates = {f"hone/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "tasks").rglob("*.j2")}
    assert templates
    assert (modules | templates | {"hone/py.typed"}) - set(wheel.namelist()) == set()


def test_an_editable_install_maps_the_same_one_name(source: Path) -> None:
    editable = built(source, "build_editable")
    [finder] = [name for name in editable.namelist() if name.endswith("finder.py")]
    mapping = re.search(r"^MAPPING[^=]*= (\{.*\})$", editable.read(finder).decode(), re.M)
    assert mapping
    assert mapping[1] == repr({"hone": str(source / "hone")})


def test_what_a_wheel_installs_is_the_same_code_and_runs_in_a_project_with_modules_of_hones_names(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    site, project = tmp_path / "site", tmp_path / "project"
    wheel.extractall(site)
    project.mkdir()
    for name in ("configs", "flows", "tasks"):
        (project / f"{name}.py").write_text(HOSTILE)
    script = (
        "import hone, hone.flows.__main__, hone.tasks.evaluate.latency as latency\n"
        "from hone.tasks import cache, code, version\n"
        "from hone.tasks.cluster import connection\n"
        "print(hone.load_recipe.__module__, version.code_digest(), latency.ROOT, connection.CODE)\n"
        "print(code.digests('hone.tasks.train.task') == code.digests('hone.tasks.train.task', code.ROOT))\n"
    )
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", script]  # which looks into the current folder first
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    expected = f"hone.configs.recipe {version.code_digest()} {site.resolve()} {site.resolve()}"
    assert done.stdout.splitlines() == [expected, "True"], done.stderr


def test_no_module_is_imported_by_the_name_of_its_folder_alone() -> None:
    bare = re.compile(r"^\s*(from|import) (configs|flows|tasks)\b(?![/:])")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in (*FOLDERS, "tests", "infra")
        for path in (ROOT / folder).rglob("*.py")
        if path.parent == ROOT / "hone" or not path.is_relative_to(ROOT / "hone")
        for line in path.read_text(encoding="utf-8").splitlines()
        if bare.match(line) and path.name != "test_code.py"
    ]
    assert found == []
