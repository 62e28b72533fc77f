"""Preparation as a whole: from files to splits on disk."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from hone.configs.data import DataSettings
from hone.tasks.data.prepare import Prepared, prepare
from hone.tasks.data.source import open_source
from hone.tasks.errors import DataError
from hone.tasks.model.text import read_split
from hone.tasks.store import folder_digest

Row = tuple[str, str]

ROWS: list[Row] = [(f'row {place}, "quoted" and\tall', "01"[place % 3 == 0]) for place in range(100)]


def run(folder: Path, seed: int = 0, **settings: Any) -> Prepared:
    chosen = DataSettings(**settings)
    return prepare(open_source(chosen), chosen, seed, folder)


def write(path: Path, rows: list[Row]) -> str:
    if path.suffix == ".csv":
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows([("text", "label"), *rows])
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"text": text, "label": int(label)}) + "\n" for text, label in rows))
    elif path.suffix == ".parquet":
        texts, labels = zip(*rows, strict=True)
        parquet.write_table(pa.table({"text": texts, "label": [float(label) for label in labels]}), path)
    else:
        path.write_text(
            "".join(f"{text.replace(chr(9), ' ')}\t{label}\n" for text, label in [("text", "label"), *rows])
        )
    return str(path)


def texts(folder: Path, split: str) -> list[str]:
    return parquet.read_table(folder / f"{split}.parquet")["text"].to_pylist()


def test_what_is_written_is_three_splits_of_text_pair_label_and_slices(tmp_path: Path) -> None:
    prepared = run(tmp_path / "out", train=write(tmp_path / "a.csv", ROWS), label_names=["no", "yes"])
    schema = parquet.read_schema(tmp_path / "out" / "test.parquet")
    assert [(field.name, field.type) for field in schema] == [
        ("text", pa.string()),
        ("pair", pa.string()),
        ("label", pa.int32()),
        ("slices", pa.list_(pa.string())),
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "labels.json",
        "test.parquet",
        "train.parquet",
        "validation.parquet",
    ]
    assert json.loads((tmp_path / "out" / "labels.json").read_text()) == prepared.labels == ["no", "yes"]
    assert prepared.rows == {"train": 74, "validation": 16, "test": 10}
    expected = {(" ".join(text.split()), int(label)) for text, label in ROWS}
    found = parquet.read_table([tmp_path / "out" / f"{split}.parquet" for split in prepared.rows])
    assert set(zip(found["text"].to_pylist(), found["label"].to_pylist(), strict=True)) == expected
    assert not prepared.has_pairs
    assert found["pair"].null_count == len(found)


def test_equal_rows_give_equal_digests_and_bytes_in_every_format_and_order(tmp_path: Path) -> None:
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    (tmp_path / "elsewhere").mkdir()
    files = [
        write(tmp_path / "a.csv", ROWS),
        write(tmp_path / "a.tsv", ROWS),
        write(tmp_path / "a.jsonl", ROWS),
        write(tmp_path / "a.parquet", ROWS),
        write(tmp_path / "elsewhere" / "b.csv", shuffled),
    ]
    prepared = [run(tmp_path / f"out{place}", train=file) for place, file in enumerate(files)]
    assert len({one.content_digest for one in prepared}) == 1
    assert len({folder_digest(tmp_path / f"out{place}") for place in range(len(files))}) == 1


def test_another_row_gives_another_digest(tmp_path: Path) -> None:
    one = run(tmp_path / "1", train=write(tmp_path / "a.csv", ROWS))
    other = run(tmp_path / "2", train=write(tmp_path / "b.csv", [("another", "1"), *ROWS[1:]]))
    assert one.content_digest != other.content_digest


def test_no_text_stands_in_two_splits_when_one_file_is_split(tmp_path: Path) -> None:
    twice = ROWS + [(f"  {text} ", label) for text, label in ROWS[:40]]
    prepared = run(tmp_path / "out", train=write(tmp_path / "a.csv", twice))
    found = [text for split in ("train", "validation", "test") for text in texts(tmp_path / "out", split)]
    assert len(found) == len(set(found)) == 100
    (kind,) = prepared.bad_rows
    assert (kind.kind, kind.count, kind.lines[0]) == ("duplicate_text", 40, "train:102")


def test_given_splits_keep_their_rows_but_for_what_stands_in_a_later_one(tmp_path: Path) -> None:
    prepared = run(
        tmp_path / "out",
        train=write(tmp_path / "a.csv", [*ROWS[:50], ROWS[0], ROWS[60], ROWS[80]]),
        validation=write(tmp_path / "b.csv", [*ROWS[60:70], ROWS[85]]),
        test=write(tmp_path / "c.jsonl", ROWS[80:90]),
    )
    assert prepared.rows == {"train": 51, "validation": 10, "test": 10}
    (kind,) = prepared.bad_rows
    assert (kind.kind, kind.lines) == ("split_overlap", ["train:53", "train:54", "validation:12"])


def test_a_missing_test_split_comes_out_of_training_and_avoids_validation(tmp_path: Path) -> None:
    prepared = run(
        tmp_path / "out", train=write(tmp_path / "a.csv", ROWS), validation=write(tmp_path / "b.csv", ROWS[:20])
    )
    assert prepared.rows == {"train": 72, "validation": 20, "test": 8}
    held_out = set(texts(tmp_path / "out", "validation"))
    assert not held_out & set(texts(tmp_path / "out", "test"))
    assert not held_out & set(texts(tmp_path / "out", "train"))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_slice_columns_stay_with_their_rows_in_every_format(tmp_path: Path, ending: str) -> None:
    rows = [{"text": f"text {i}", "label": f"l{i % 2}", "place": f"p{i % 3}", "year": i % 5} for i in range(60)]
    path = tmp_path / f"a.{ending}"
    if ending == "parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif ending == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        mark = {"csv": ",", "tsv": "\t"}[ending]
        path.write_text("\n".join(mark.join(map(str, row)) for row in [list(rows[0]), *(r.values() for r in rows)]))
    run(tmp_path / "out", train=str(path), slice_columns=["year", "place"])
    found = read_split(tmp_path / "out", "train", ["year", "place"])
    for place, text in enumerate(found.texts):
        number = int(text.split()[1])
        assert (found.slices["year"][place], found.slices["place"][place]) == (str(number % 5), f"p{number % 3}")


def test_a_slice_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'region'"):
        run(tmp_path / "out", train=write(tmp_path / "a.csv", ROWS), slice_columns=["region"])


def test_pairs_are_written_and_counted_as_pairs(tmp_path: Path) -> None:
    lines = ["a,b,label"] + [f"premise {place % 10},claim {place},{place % 2}" for place in range(100)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    prepared = run(tmp_path / "out", train=str(tmp_path / "a.csv"), text_column="a", pair_column="b")
    assert prepared.has_pairs
    assert sum(prepared.rows.values()) == 100  # ten premises, each in many pairs
    assert parquet.read_table(tmp_path / "out" / "test.parquet")["pair"].null_count == 0


def test_bad_rows_are_counted_by_kind_with_their_lines_and_left_out(tmp_path: Path) -> None:
    lines = ["text\tlabel"] + [f"good {place}\t{place % 2}" for place in range(100)]
    lines[10], lines[20], lines[30], lines[40] = "\t1", "no label\t", "alone", "one\t1\tmore"
    (tmp_path / "a.tsv").write_bytes("\n".join(lines).encode() + b"\nbroken \xff\t1\n")
    (tmp_path / "b.tsv").write_text("text\tlabel\nheld out\t1\nof no known class\t7\n")
    prepared = run(tmp_path / "out", train=str(tmp_path / "a.tsv"), test=str(tmp_path / "b.tsv"), max_bad_fraction=0.06)
    assert {kind.kind: (kind.count, kind.lines) for kind in prepared.bad_rows} == {
        "undecodable": (1, ["train:102"]),
        "wrong_field_count": (2, ["train:31", "train:41"]),
        "empty_text": (1, ["train:11"]),
        "missing_label": (1, ["train:21"]),
        "unknown_label": (1, ["test:3"]),
    }
    assert sum(prepared.rows.values()) == 97


def test_more_bad_rows_than_allowed_stop_the_run_and_write_nothing(tmp_path: Path) -> None:
    rows = [*ROWS, ("", "1"), (" ", "0")]
    with pytest.raises(
        DataError, match=r"(?s)2 of 102 rows \(1\.96%\).*allows 1\.00%.*empty_text.*train:102, train:103"
    ):
        run(tmp_path / "out", train=write(tmp_path / "a.csv", rows))
    assert not (tmp_path / "out").exists()


def test_rows_of_each_label_are_capped_before_splitting(tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", ROWS)
    prepared = run(tmp_path / "out", train=train, max_rows_per_label=20)
    assert sum(prepared.rows.values()) == 40
    assert run(tmp_path / "again", train=train, max_rows_per_label=20).content_digest == prepared.content_digest
    assert run(tmp_path / "other", 1, train=train, max_rows_per_label=20).content_digest != prepared.content_digest


def test_a_split_without_a_usable_row_is_named_with_what_became_of_its_rows(tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", ROWS)
    with pytest.raises(DataError, match=r"no usable row is left in train \(100 split_overlap\)"):
        run(tmp_path / "out", train=train, validation=write(tmp_path / "b.csv", [("x", "1")]), test=train)


def test_a_label_that_only_stands_in_later_splits_is_named(tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", [("rare", "2"), *ROWS])
    test = write(tmp_path / "b.csv", [("rare", "2")])
    with pytest.raises(DataError, match="no training row of 2 is left"):
        run(tmp_path / "out", train=train, validation=write(tmp_path / "c.csv", [("x", "0")]), test=test)


def test_progress_runs_from_nothing_to_all(tmp_path: Path) -> None:
    told: list[tuple[float, float, str]] = []
    chosen = DataSettings(train=write(tmp_path / "a.csv", ROWS))
    prepare(open_source(chosen), chosen, 0, tmp_path / "out", lambda *step: told.append(step))
    assert told[0] == (0, 3, "reading train")
    assert (0, 3, "reading train: 100 rows") in told
    assert told[-1] == (3, 3, "")
    assert [step[0] for step in told] == sorted(step[0] for step in told)
