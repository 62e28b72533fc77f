"""The `hone` command refuses what cannot work before anything starts: exit status 2, one message, nothing written."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from hone.configs.recipe import load_recipe
from hone.flows import preflight
from hone.flows.__main__ import app
from hone.flows.environment import QUIET
from hone.flows.preflight import check_precision
from hone.tasks import device
from hone.tasks.version import code_version, hone_version
from tests import tiny


def hone(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as it is installed: a script elsewhere, so that the folder of the call is no place of modules."""
    script = folder / "bin" / "hone"
    script.parent.mkdir(exist_ok=True)
    script.write_text("from hone.flows.__main__ import main\nmain()\n")
    command = [sys.executable, str(script), *arguments]
    root = Path(__file__).resolve().parents[2]
    environment = {"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "HOME": str(folder), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400, check=False
    )


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return tiny.write_recipe(tmp_path)


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """A command in this process, where the engines are loaded already; what it refuses starts none of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nothing listens there
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs=-1", "train.epochs = -1: it has to be 0 or more; leave the key out for its default, 3"),
        ("train.epoch=2", "train.epoch = 2: unknown key; did you mean epochs?; allowed here:"),
        ("train.precision=fp16", "train.precision is 'fp16' but compute.gpus_per_worker is 0"),
    ],
)
def test_a_wrong_setting_ends_with_2_and_writes_nothing(
    recipe: Path, refused: Callable[..., Result], override: str, message: str
) -> None:
    before = sorted(recipe.parent.rglob("*"))
    done = refused("optimize", str(recipe), "--set", override)
    assert done.exit_code == 2
    assert message in done.stderr
    assert sorted(recipe.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.train=absent.csv", "absent.csv"),
        ("data.text_column=sentence", "sentence"),
        ("model.source=package:no_such_package/model", "no_such_package"),
        ("model.max_length=4096", "4096"),
        ("evaluate.cells=[1x16, 1x65]", "evaluate.cells has 1x65"),
        ("compute.storage=s3://team/hone", "s3://team/hone/written-and-deleted-by-hone-check cannot be"),
    ],
)
def test_what_is_not_there_ends_with_2_before_anything_is_trained(
    recipe: Path, refused: Callable[..., Result], override: str, message: str
) -> None:
    done = refused("optimize", str(recipe), "--set", override)
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert not (recipe.parent / "storage").exists()


def test_check_shows_every_part_and_writes_nothing_in_a_project_with_modules_of_hones_names(recipe: Path) -> None:
    for name in ("tasks", "flows", "configs"):
        (recipe.parent / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the project was imported')\n")
    before = {path for path in recipe.parent.rglob("*") if ".ray" not in path.parts}
    done = hone(recipe.parent, "check", str(recipe))
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("data", "output", "storage", "MLflow", "precision", "providers", "model", "Ray"):
        assert f"✓ {part}" in done.stdout
    assert done.stdout.splitlines()[-1] == f"next: hone optimize {recipe}"
    assert not (recipe.parent / "storage").exists()
    assert {path for path in before if path.suffix == ".db"} == set()


def test_check_says_what_a_cluster_lacks(
    recipe: Path, refused: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "check_model", lambda *_: "looked at by another test")
    done = refused("check", str(recipe), "--set", "compute.cpus_per_worker=512")
    assert done.exit_code == 2
    assert "✗ Ray" in done.stderr
    assert "512" in done.stderr
    assert "✓ storage" in done.stdout
    assert f"once more: hone check {recipe} --set compute.cpus_per_worker=512" in done.stderr


def test_check_starts_what_takes_long_only_where_the_rest_holds(
    recipe: Path, refused: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_arguments: object) -> str:
        raise AssertionError("it was started")

    for name in ("check_model", "check_cluster"):
        monkeypatch.setattr(preflight, name, never)
    monkeypatch.setattr(preflight, "CHEAP", {})
    done = refused("check", str(recipe), "--set", "data.text_column=body")
    assert done.exit_code == 2
    assert "✗ data" in done.stderr
    assert "body" in done.stderr
    assert "the model and Ray not looked at yet: mend what is marked ✗, then once more: hone check " in done.stderr
    assert "next:" not in done.stdout


def test_looking_at_the_data_loads_no_ml_library(recipe: Path) -> None:
    """So that a wrong column is told at once."""
    script = (
        "import sys; from hone.configs.recipe import load_recipe; from hone.flows.preflight import check_data\n"
        "print(check_data(load_recipe(sys.argv[1]))[0])\n"
        "print(sorted({'torch', 'transformers', 'mlflow', 'ray', 'prefect', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(recipe)], capture_output=True, text=True, check=True)
    told, engines = done.stdout.splitlines()
    assert told.endswith("2 labels")
    assert engines == "[]"


@pytest.mark.parametrize(
    ("precision", "there", "said"),
    [
        ("bf16", True, "bf16, fp32"),
        ("bf16", False, "train.precision is bf16, which the cpu of this machine imitates, many times slower than fp32"),
        ("auto", True, "auto, fp32; auto is bf16 here"),
        ("auto", False, "auto, fp32; auto is fp32 here"),
    ],
)
def test_check_says_what_the_arithmetic_comes_to(
    recipe: Path, precision: str, there: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "computes_bf16", lambda _device: there)
    monkeypatch.setattr(device, "driver_device", lambda: "cpu")
    assert check_precision(load_recipe(recipe, [f"train.precision={precision}"])).startswith(said)


def test_the_help_names_both_commands() -> None:
    done = subprocess.run([sys.executable, "-m", "hone", "--help"], capture_output=True, text=True, check=True)
    assert "optimize" in done.stdout
    assert "check" in done.stdout


def commands(group: Any, name: str = "hone") -> Iterator[tuple[str, Any]]:
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


@pytest.mark.parametrize(("name", "command"), list(commands(typer.main.get_command(app))), ids=str)
def test_every_command_says_how_it_ends_in_the_order_of_the_numbers(name: str, command: Any) -> None:
    told = " ".join(command.help.partition("Exit status: ")[2].split())
    numbers = [int(part[0]) for part in told.split("; ") if part[0].isdigit()]
    assert numbers
    assert numbers == sorted(set(numbers)), told
    assert numbers[0] == 0


def test_a_flag_is_a_word_without_a_value_or_an_opposite_and_set_says_that_it_repeats() -> None:
    for name, command in commands(typer.main.get_command(app)):
        for option in command.params:
            if getattr(option, "is_flag", False):
                assert (option.metavar, option.secondary_opts) == ("", []), (name, option.opts)
            if "--set" in option.opts:
                assert "several times" in option.help, name


def test_the_version_is_that_of_hone_and_of_its_code(refused: Callable[..., Result]) -> None:
    told = refused("--version")
    assert told.exit_code == 0
    assert told.stdout == f"hone {hone_version()} ({code_version()})\n"


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        ("bash", "complete -o default -F _hone_completion hone"),
        ("zsh", "compdef _hone_completion hone"),
        ("fish", "complete --command hone"),
    ],
)
def test_each_shell_gets_a_script_that_completes(shell: str, expected: str) -> None:
    done = CliRunner().invoke(app, [], prog_name="hone", env={"_HONE_COMPLETE": f"source_{shell}"})
    assert done.exit_code == 0
    assert expected in done.stdout


def test_commands_and_options_complete() -> None:
    def completed(words: str, place: int) -> list[str]:
        asked = {"_HONE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
        return CliRunner().invoke(app, [], prog_name="hone", env=asked).stdout.split()

    assert completed("hone pro", 1) == ["promote"]
    assert completed("hone cache ver", 2) == ["verify"]
    assert "--set" in completed("hone optimize --", 2)


def test_looking_at_files_and_reports_loads_no_engine() -> None:
    """Each of them takes seconds to import."""
    engines = "{'torch', 'transformers', 'mlflow', 'ray', 'prefect', 'datasets'}"
    script = "import sys, hone.flows.__main__, hone.flows.compare, hone.flows.init\n"
    script += f"print(sorted({engines} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_that_may_find_everything_done_loads_nothing_that_only_stages_compute_with() -> None:
    computed_with = "{'torch', 'transformers', 'scipy', 'sklearn', 'ray', 'datasets'}"
    script = f"import sys, hone.flows.optimize, hone.flows.retrain\nprint(sorted({computed_with} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_calls_home() -> None:
    assert QUIET["DO_NOT_TRACK"] == "true"
    assert QUIET["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert QUIET["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_prefects_recorder_does_not_spin() -> None:
    """Prefect 3.8 turns the interval into whole seconds, and 0 is a busy loop."""
    assert int(float(QUIET["PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL"])) >= 1
