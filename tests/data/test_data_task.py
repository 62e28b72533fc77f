"""The data stage: what it returns, and when it runs again."""

from pathlib import Path
from typing import Any

import pytest

from hone.configs.recipe import parse_recipe
from hone.tasks.contracts import PreparedData
from hone.tasks.data import task
from hone.tasks.data.source import source_digests
from hone.tasks.data.task import prepare_data
from hone.tasks.errors import DataError
from hone.tasks.stage import RunContext
from hone.tasks.store import open_artifact


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "".join(f"text {place},{'ab'[place % 2]}\n" for place in range(100)))
    return path


def context(tmp_path: Path, seed: int = 0, **data: Any) -> RunContext:
    recipe = parse_recipe({"seed": seed, "data": data, "model": {"source": "unused"}})
    return RunContext(recipe=recipe, output=str(tmp_path / "out"), storage=str(tmp_path / "storage"))


def run(tmp_path: Path, seed: int = 0, **data: Any) -> PreparedData:
    return prepare_data.fn(context(tmp_path, seed, **data))


def test_the_stage_returns_its_splits_as_a_checked_artifact(tmp_path: Path, rows: Path) -> None:
    prepared = run(tmp_path, train=str(rows))
    folder = open_artifact(prepared.artifact)
    assert sorted(path.name for path in folder.iterdir()) == [
        "labels.json",
        "test.parquet",
        "train.parquet",
        "validation.parquet",
    ]
    assert prepared.record.status == "ran"
    assert prepared.labels == ["a", "b"]
    assert prepared.rows == {"train": 76, "validation": 11, "test": 13}
    assert prepared.artifact.made_from == list(source_digests(context(tmp_path, train=str(rows)).recipe.data).values())


def test_unchanged_rows_are_reused_wherever_the_file_lies(tmp_path: Path, rows: Path) -> None:
    first = run(tmp_path, train=str(rows))
    moved = rows.rename(tmp_path / "moved.csv")
    again = run(tmp_path, train=str(moved))
    assert again.record.status == "cached"
    assert again.artifact == first.artifact


def test_a_changed_file_runs_again_and_says_so(tmp_path: Path, rows: Path) -> None:
    first = run(tmp_path, train=str(rows))
    with rows.open("a") as stream:
        stream.write("one more,a\n")
    again = run(tmp_path, train=str(rows))
    assert again.record.status == "ran"
    assert "input changed: train file" in again.record.reason
    assert again.content_digest != first.content_digest


def test_a_changed_setting_runs_again_and_is_named(tmp_path: Path, rows: Path) -> None:
    run(tmp_path, train=str(rows))
    again = run(tmp_path, train=str(rows), lowercase=True)
    assert again.record.reason == "data.lowercase false -> true"


def test_the_same_bytes_read_in_another_format_are_not_reused(tmp_path: Path, rows: Path) -> None:
    run(tmp_path, train=str(rows))
    with pytest.raises(DataError, match="no column 'text'"):
        run(tmp_path, train=str(rows), format="tsv")


def test_a_row_added_in_another_place_gives_the_same_artifact(tmp_path: Path, rows: Path) -> None:
    header, *lines = rows.read_text().splitlines(keepends=True)
    first = run(tmp_path, train=str(rows))
    rows.write_text("".join([header, *reversed(lines)]))
    again = run(tmp_path, train=str(rows))
    assert again.record.status == "ran"
    assert again.artifact.digest == first.artifact.digest
    assert again.content_digest == first.content_digest


def test_a_file_that_grows_while_it_is_read_is_not_filed_as_what_it_was(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = task.prepare

    def grown(*arguments: Any) -> Any:
        with rows.open("a") as stream:
            stream.write("one more,a\n")
        return real(*arguments)

    monkeypatch.setattr(task, "prepare", grown)
    with pytest.raises(DataError, match="train file: changed while it was read: nothing was kept"):
        run(tmp_path, train=str(rows))
    monkeypatch.setattr(task, "prepare", real)
    assert run(tmp_path, train=str(rows)).record.status == "ran"


def test_the_seed_counts_where_rows_are_drawn_and_nowhere_else(tmp_path: Path, rows: Path) -> None:
    run(tmp_path, train=str(rows))
    assert run(tmp_path, 1, train=str(rows)).record.reason == "seed 0 -> 1"
    given = {"train": str(rows)}
    for split, first in (("validation", 200), ("test", 300)):
        given[split] = str(tmp_path / f"{split}.csv")
        lines = "".join(f"text {place},{'ab'[place % 2]}\n" for place in range(first, first + 20))
        Path(given[split]).write_text(f"text,label\n{lines}")
    assert [run(tmp_path, seed, **given).record.status for seed in (0, 1)] == ["ran", "cached"]
    assert [run(tmp_path, seed, max_rows_per_label=20, **given).record.status for seed in (0, 1)] == ["ran", "ran"]
