"""The columns of a file without a recipe, whatever its format."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from hone.tasks.data.columns import read_columns
from hone.tasks.errors import DataError

ROWS = [("a dull plot", "bad"), ("a superb cast", "good"), ("stale, and tedious", "bad")]
EXPECTED = {"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]}
TSV = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS)
CSV = "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in ROWS)


def written(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_every_format_gives_the_same_columns(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": text, "label": label, "tags": [1]}) + "\n" for text, label in ROWS)
    parquet.write_table(pa.table(EXPECTED), tmp_path / "a.parquet")
    for file in [
        written(tmp_path / "a.csv", CSV),
        written(tmp_path / "b.csv.gz", gzip.compress(CSV.encode())),
        written(tmp_path / "a.tsv", TSV.encode("utf-16")),
        written(tmp_path / "tabs.csv", TSV),
        written(tmp_path / "a.jsonl", lines),  # a list is neither text nor label
        str(tmp_path / "a.parquet"),
    ]:
        found = read_columns(file)
        assert (found.values, found.rows, found.complete) == (EXPECTED, 3, True), file
    assert read_columns(str(tmp_path / "tabs.csv")).settings.format == "tsv"


def test_a_first_line_that_is_a_row_is_told_by_a_number_or_by_standing_again_below(tmp_path: Path) -> None:
    for lines in (["dull,bad", "stale,bad"], ["dull,0", "superb,1"]):
        found = read_columns(written(tmp_path / "a.csv", "\n".join(lines) + "\n"))
        assert (found.settings.header, found.rows) == (False, 2)
        assert list(found.values) == ["column_1", "column_2"]
    # Of files that were joined, the header stands again and is none the less one.
    assert read_columns(written(tmp_path / "a.csv", CSV + CSV)).settings.header


def test_rows_that_are_not_utf_8_are_read_by_what_they_look_like(tmp_path: Path) -> None:
    for name, content in [
        ("a.csv", "text,label\nein müder Witz,schlecht\n"),
        ("a.jsonl", '{"text": "müde", "label": 1}'),
    ]:
        found = read_columns(written(tmp_path / name, content.encode("cp1252")))
        assert found.settings.encoding == "cp1252"
        assert "mü" in found.values["text"][0]


def test_columns_without_a_name_of_their_own_are_left_out(tmp_path: Path) -> None:
    found = read_columns(written(tmp_path / "a.csv", ",text,label,x,x\n0,dull,bad,1,2\n1,fine,good,1,2\n"))
    assert list(found.values) == ["text", "label"]


def test_of_a_long_file_the_first_rows_are_read(tmp_path: Path) -> None:
    found = read_columns(written(tmp_path / "a.csv", CSV), rows=2)
    assert (found.values["label"], found.rows, found.complete) == (["bad", "good"], 2, False)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "", "a.csv: empty: name a file with labelled rows"),
        ("a.csv", "text,label\n", "a.csv: no row of text, label that can be read: name"),
        ("a.csv", "text,label\none\n", "no row of text, label that can be read, but 1 with more or fewer fields"),
        ("a.csv", "text;label\ndull;bad\n", "fields are separated by ';'\\? Hone reads commas and tabs"),
        ("a.jsonl", '{"text": "dull"}\n', "one column, 'text': a classifier needs a column with the text and one"),
        ("a.dat", "[]", "the ending '.dat' names no format; known are .csv"),
        ("a.json", "[]", "read as SQuAD's questions with answers: set data.context_column=context"),
        ("a.parquet", "PAR1", "not a readable Parquet file"),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "a.csv.gz: empty"),
    ],
)
def test_what_cannot_be_looked_at_is_told(tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_columns(written(tmp_path / name, content))


def test_a_folder_and_a_file_that_is_gone_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a folder: name one of its files"):
        read_columns(str(tmp_path))
    with pytest.raises(DataError, match="no such file"):
        read_columns(str(tmp_path / "gone.csv"))
