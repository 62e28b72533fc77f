"""`hone compare`: a run is its folder, its report.json or its id in MLflow, and what is none says so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hone.flows.__main__ import app
from tests.report.conftest import recipe, report, results

__all__ = ["recipe", "report", "results"]


@pytest.fixture
def hone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["compare", *arguments])


def written(folder: Path, report: dict[str, Any], **changes: Any) -> Path:
    """A run's folder."""
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps({**report, **changes}), encoding="utf-8")
    return folder


def cells(done: Result, name: str) -> list[str]:
    """A row of the table, less its first column."""
    line = next(line for line in done.stdout.splitlines() if line.startswith(f"{name} "))
    return [cell.strip() for cell in line.removeprefix(name).split("  ") if cell.strip()]


def test_two_runs_stand_side_by_side(hone: Callable[..., Result], tmp_path: Path, report: dict[str, Any]) -> None:
    written(tmp_path / "runs/a/1", report)
    (tmp_path / "runs/a/latest").symlink_to("1")
    quantized = report["candidates"][3]
    quantized["metrics"]["accuracy"] -= 0.0123
    quantized["size_bytes"] //= 2
    report["recipe"]["prune"]["epochs"] = 9
    report["stages"][1]["status"] = "cached"
    written(tmp_path / "runs/b", report, verdict="REJECTED")
    done = hone("runs/a", "runs/b/report.json")
    assert done.exit_code == 0, done.output
    assert cells(done, "verdict") == ["ACCEPTED", "REJECTED"]
    assert cells(done, "prune.epochs") == ["6", "9"]
    assert cells(done, "stage train") == ["ran in 12 s", "reused", "same result"]
    assert cells(done, "accuracy") == ["88.50%", "87.27%", "−1.23 points"]
    assert cells(done, "size") == ["11.6 MB", "5.80 MB", "0.50×"]
    assert cells(done, "p50 1x32") == ["0.67 ms", "0.67 ms", "1.00×"]
    told = json.loads(hone("runs/a/latest", "runs/b", "--json").stdout)
    assert told["settings"] == [{"name": "prune.epochs", "first": 6, "second": 9}]
    assert set(told) == {"runs", "verdicts", "settings", "stages", "numbers", "cautions"}


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ("gone", "gone: neither a run's folder or report.json, as runs/NAME/latest, nor the id of a run in MLflow"),
        ("empty", "empty: a folder without a report.json: name one that a run wrote"),
        ("newer", "newer: its format_version is 2, and this Hone reads reports up to 1"),
        ("f" * 32, "there are no records of MLflow: name the storage that the pipeline ran with by --storage"),
    ],
)
def test_what_is_no_run_ends_with_2_and_says_the_way_out(
    hone: Callable[..., Result], tmp_path: Path, report: dict[str, Any], run: str, told: str
) -> None:
    (tmp_path / "empty").mkdir()
    written(tmp_path / "a", report)
    written(tmp_path / "newer", report, format_version=2)
    done = hone("a", run)
    assert done.exit_code == 2
    assert told in done.stderr
