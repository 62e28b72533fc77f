"""What is printed is printed as it is: a label or a folder in brackets is nobody's markup."""

import io

import pytest
from rich.console import Console

from hone.flows.shell import WIDE, console, print_error
from hone.flows.terminal import Terminal
from hone.tasks.contracts import StageRecord
from hone.tasks.errors import DataError, TrainingError

DATA = "label [/question] in [draft]/[bold]tickets.csv"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_stage_is_told_with_the_brackets_of_its_data(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hone.flows.terminal.PLAIN_SECONDS", -1)
    console = Console(file=io.StringIO(), width=200, force_terminal=terminal, color_system=None)
    record = StageRecord(name="data", status="ran", reason=DATA, seconds=1.0)
    with Terminal(console) as drawn:
        drawn.started("data")
        drawn.advanced("data", 1, 2, DATA)
        drawn._bar.refresh()
        drawn.finished(record, DATA)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert f"✓ data          1.0 s  {DATA}; ran: {DATA}" in said
    assert said.count(DATA) >= 3


def test_an_error_is_told_on_stderr_with_the_brackets_of_its_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_error(DataError(DATA)) == "INVALID"
    assert print_error(TrainingError(DATA)) == "FAILED"
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"DataError: {DATA}\nTrainingError: {DATA}\n"


def test_a_table_in_a_file_is_not_cut_at_the_width_of_a_terminal_that_is_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    console().print("x " * 45)
    assert len(capsys.readouterr().out.rstrip("\n").splitlines()) == 1
    assert console().width == WIDE
    monkeypatch.setenv("COLUMNS", "70")
    assert console().width == 70
