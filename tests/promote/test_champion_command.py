"""`hone promote`, `hone rollback` and `hone history`: exit status, what is printed, and the flows behind them."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from hone.flows.__main__ import app
from hone.flows.champion import history_table, run_history, run_promote, run_rollback
from hone.tasks import tracking
from hone.tasks.contracts import PromotionRecord
from hone.tasks.promote.change import promote
from tests.promote.conftest import champion

pytestmark = pytest.mark.usefixtures("prefect_server")

Model = Callable[..., str]
ROOT = Path(__file__).resolve().parents[2]


def hone(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hone", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=300)


@pytest.fixture
def complaints(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was written to stderr since it was last asked."""
    return lambda: capsys.readouterr().err


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    console.file.truncate(0)
    console.file.seek(0)
    return said


def test_the_flows_promote_roll_back_and_tell_what_forbids_it(
    model: Model, storage: Path, console: Console, complaints: Callable[[], str]
) -> None:
    name = model(1)
    model(1, verdict="REJECTED")
    assert run_promote(name, "1", "", str(storage), console) == "DONE"
    assert f"{name}: version 1 is the champion (entry 1: promote none → 1, by {tracking.user()} (claimed), " in printed(
        console
    )
    assert run_promote(name, "2", "", str(storage), console) == "FAILED"
    assert "PromotionError" in complaints()
    assert champion(name) == "1"
    assert run_promote(name, "2", "the customer waits", str(storage), console) == "DONE"
    assert champion(name) == "2"
    assert run_rollback(name, "slow", str(storage), console) == "DONE"
    assert champion(name) == "1"
    assert run_rollback(name, "", str(storage), console) == "FAILED"
    printed(console)
    assert run_history(name, str(storage), console) == "DONE"
    rows = [line.split() for line in printed(console).splitlines() if "took effect" in line]
    assert [row[3:7] for row in rows] == [
        ["promote", "none", "→", "1"],
        ["promote", "1", "→", "2"],
        ["rollback", "2", "→", "1"],
    ]
    assert "REJECTED" in rows[1]


def test_the_history_is_one_row_for_each_entry(console: Console) -> None:
    made = PromotionRecord(
        number=7,
        name="m",
        action="promote",
        from_version="",
        to_version="12",
        when="2026-11-21T12:34:56.789+00:00",
        who="al[i]ce",
        run_id="0123456789abcdef",
        verdict="REJECTED",
        reason="the [bold]customer[/] waits",
        outcome="lost",
    )
    moved = PromotionRecord(
        number=8, name="m", action="outside", from_version="12", to_version="", when=made.when, who="unknown"
    )
    console.print(history_table([made, moved]))
    lines = [" ".join(line.split()) for line in printed(console).splitlines()]
    assert (
        "7 2026-11-21 12:34:56 promote none → 12 al[i]ce (claimed) REJECTED 01234567 the [bold]customer[/] waits lost"
        in lines
    )
    assert "8 2026-11-21 12:34:56 outside 12 → none unknown - - - took effect" in lines


def test_the_history_is_printed_by_the_command(model: Model, storage: Path) -> None:
    name = model(2)
    promote(name, "1", "alice")
    tracking.set_alias(name, "champion", "2")
    done = CliRunner().invoke(app, ["history", name, "--storage", str(storage)])
    assert done.exit_code == 0, done.output
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert any("promote none → 1 alice (claimed) ACCEPTED" in row for row in rows)
    assert any("outside 1 → 2 unknown - - the alias was moved outside Hone took effect" in row for row in rows)
    assert len(tracking.changes(name)) == 1


def test_a_model_that_never_had_a_champion_has_no_history(model: Model, storage: Path, console: Console) -> None:
    name = model()
    assert run_history(name, str(storage), console) == "DONE"
    assert printed(console) == f"{name} never had a champion\n"


def test_a_model_that_is_not_there_ends_with_2(storage: Path) -> None:
    done = hone("promote", "nobody", "1", "--storage", str(storage))
    assert done.returncode == 2
    assert "has no registered model 'nobody'" in done.stderr


def test_a_version_that_is_not_there_is_invalid(
    model: Model, storage: Path, console: Console, complaints: Callable[[], str]
) -> None:
    assert run_promote(model(), "2", "", str(storage), console) == "INVALID"
    assert "has no version '2'" in complaints()
    assert run_rollback("nobody", "", str(storage), console) == "INVALID"


def test_records_that_are_not_there_are_not_made(
    tmp_path: Path, console: Console, complaints: Callable[[], str]
) -> None:
    nowhere = str(tmp_path / "none")
    for ask in (
        lambda: run_promote("m", "1", "", nowhere, console),
        lambda: run_rollback("m", "", nowhere, console),
        lambda: run_history("m", nowhere, console),
    ):
        assert ask() == "INVALID"
        assert "there are no records of MLflow: name the storage that the pipeline ran with" in complaints()
    assert not (tmp_path / "none").exists()


def test_the_commands_show_their_exit_status_in_their_help() -> None:
    done = CliRunner().invoke(app, ["promote", "--help"])
    assert "2 there is no such model or version" in " ".join(done.stdout.replace("│", " ").split())
