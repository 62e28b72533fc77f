"""Reading files: what a row is, on which line it stands, and what becomes of one that cannot be read."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from configs.data import DataSettings
from tasks.data.files import FileSource
from tasks.data.rows import BadRowLog, RawRow
from tasks.errors import DataError


def read(path: Path, **settings: Any) -> tuple[list[RawRow], dict[str, list[str]]]:
    """Rows of a file, and the places of those left out by kind."""
    source = FileSource(DataSettings(train=str(path), **settings))
    bad = BadRowLog(source.locate)
    rows = list(source.rows("train", bad))
    return rows, {kind.kind: kind.lines for kind in bad.contracts()}


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_csv_quotes_hold_commas_line_breaks_and_doubled_quotes(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.csv", 'text,label\r\n"one, two",a\r\n"first\nsecond ""line""",b\r\nplain 5" disk,a\r\n'
    )
    rows, bad = read(path)
    assert rows == [
        RawRow(2, "one, two", None, "a"),
        RawRow(3, 'first\nsecond "line"', None, "b"),
        RawRow(5, 'plain 5" disk', None, "a"),  # the row before took lines 3 and 4
    ]
    assert bad == {}


def test_csv_quote_that_never_closes_costs_one_row(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'text,label\n"it never closes,a\ngood,a\n"quoted, well",b\nlast,b\n')
    rows, bad = read(path)
    assert [(row.line, row.text) for row in rows] == [(3, "good"), (4, "quoted, well"), (5, "last")]
    assert bad == {"broken_quotes": ["train:2"]}


def test_csv_record_over_several_lines_with_the_wrong_fields_gives_the_later_lines_back(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'text,label\n"opened,a\nclosed here"\ngood,b\n')
    rows, bad = read(path)
    assert [(row.line, row.text) for row in rows] == [(4, "good")]
    assert bad == {"wrong_field_count": ["train:2", "train:3"]}


def test_csv_field_of_more_than_131072_characters_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "text,label\n" + "x" * 131_073 + ",a\ngood,b\n")
    rows, bad = read(path)
    assert [row.text for row in rows] == ["good"]
    assert bad == {"broken_quotes": ["train:2"]}


def test_csv_carriage_return_inside_a_line_is_whitespace(tmp_path: Path) -> None:
    rows, bad = read(written(tmp_path / "a.csv", "text,label\r\none\rtwo,a\r\n"))
    assert rows == [RawRow(2, "one two", None, "a")]
    assert bad == {}


def test_tsv_quotes_are_ordinary_characters(tmp_path: Path) -> None:
    rows, bad = read(written(tmp_path / "a.tsv", 'text\tlabel\n"never closed\ta\nsays "so"\tb\r\n'))
    assert rows == [RawRow(2, '"never closed', None, "a"), RawRow(3, 'says "so"', None, "b")]
    assert bad == {}


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_too_many_and_too_few_fields_are_left_out_with_their_lines(tmp_path: Path, ending: str) -> None:
    mark = {"csv": ",", "tsv": "\t"}[ending]
    lines = ["text,label", "one,a", "no label", "", "two,b,extra", "three,b"]
    rows, bad = read(written(tmp_path / f"a.{ending}", "\n".join(lines).replace(",", mark) + "\n\n\n"))
    assert [row.line for row in rows] == [2, 6]
    assert bad == {"wrong_field_count": ["train:3", "train:4", "train:5"]}  # and blank lines at the end are no rows


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_bytes_that_are_not_utf8_are_left_out_with_their_lines(tmp_path: Path, ending: str) -> None:
    lines = {
        "csv": [b"text,label", b"caf\xe9,a", "café,b".encode(), b"\xff\xfe,a"],
        "tsv": [b"text\tlabel", b"caf\xe9\ta", "café\tb".encode(), b"\xff\xfe\ta"],
        "jsonl": [
            b'{"text": "ok", "label": "b"}',
            b'{"text": "caf\xe9", "label": "a"}',
            '{"text": "café", "label": "b"}'.encode(),
            b'{"text": "\xff\xfe", "label": "a"}',
        ],
    }[ending]
    rows, bad = read(written(tmp_path / f"a.{ending}", b"\n".join(lines)))
    assert [row.text for row in rows if row.line > 1] == ["café"]
    assert bad == {"undecodable": ["train:2", "train:4"]}


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path, ending: str) -> None:
    content = {"csv": "text,label\none,a\n", "tsv": "text\tlabel\none\ta\n", "jsonl": '{"text": "one", "label": "a"}\n'}
    rows, bad = read(written(tmp_path / f"a.{ending}", b"\xef\xbb\xbf" + content[ending].encode()))
    assert [row.text for row in rows] == ["one"]
    assert bad == {}


def test_columns_stand_in_for_a_header(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "1\tpremise\tx\thypothesis\n")
    rows, _bad = read(
        path, header=False, columns=["label", "a", "id", "b"], text_column="a", pair_column="b", label_column="label"
    )
    assert rows == [RawRow(1, "premise", "hypothesis", "1")]


def test_jsonl_lines_that_are_no_objects_are_left_out(tmp_path: Path) -> None:
    lines = ['{"text": "one", "label": 1}', "[1, 2]", "", '{"text": "cut', "[" * 100_000, '{"text": "two", "label": 0}']
    rows, bad = read(written(tmp_path / "a.jsonl", "\n".join(lines) + "\n\n"))
    assert [(row.line, row.text, row.label) for row in rows] == [(1, "one", 1), (6, "two", 0)]
    assert bad == {"not_json": ["train:2", "train:3", "train:4", "train:5"]}


def test_jsonl_absent_keys_are_absent_values(tmp_path: Path) -> None:
    rows, _bad = read(written(tmp_path / "a.jsonl", '{"text": "one"}\n{"label": "a"}\n'))
    assert rows == [RawRow(1, "one", None, None), RawRow(2, None, None, "a")]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_parquet_text_of_every_arrow_type_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"text": pa.array(["one", "zwölf"]).cast(kind), "label": pa.array([1, None], pa.int8())})
    parquet.write_table(table, tmp_path / "a.parquet")
    rows, _bad = read(tmp_path / "a.parquet")
    assert rows == [RawRow(1, b"one", None, 1), RawRow(2, "zwölf".encode(), None, None)]


def test_parquet_rows_are_numbered_over_all_batches(tmp_path: Path) -> None:
    table = pa.table({"text": [f"t{row}" for row in range(20_000)], "label": [row % 2 for row in range(20_000)]})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=3000)
    rows, _bad = read(tmp_path / "a.parquet")
    assert [row.line for row in rows] == list(range(1, 20_001))
    assert rows[-1].text == b"t19999"


CONTENT = {
    "csv": "sentence,label\none,a\n",
    "tsv": "sentence\tlabel\none\ta\n",
    "jsonl": '{"sentence": "one", "label": "a"}\n',
}


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_an_absent_column_names_those_seen(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    if ending == "parquet":
        parquet.write_table(pa.table({"sentence": ["one"], "label": ["a"]}), path)
    else:
        written(path, CONTENT[ending])
    with pytest.raises(
        DataError, match=r"no column 'text'; the columns seen are 'sentence', 'label'\. Set data.text_column"
    ):
        read(path)


def test_an_absent_column_in_jsonl_is_told_before_the_whole_file_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", CONTENT["jsonl"] * 1000 + "the rest is not looked at\n" * 5)
    source = FileSource(DataSettings(train=str(path)))
    bad = BadRowLog(source.locate)
    with pytest.raises(DataError, match="no column 'text'"):
        list(source.rows("train", bad))
    assert bad.contracts() == []


def test_a_first_row_taken_for_a_header_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"if the first line is a row, set data\.header=false"):
        read(written(tmp_path / "a.tsv", "a fine film\t1\n"))


def test_a_header_taken_for_a_first_row_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the first line names the columns: set data\.header=true"):
        read(written(tmp_path / "a.tsv", "text\tlabel\none\ta\n"), header=False, columns=["text", "label"])


def test_columns_that_contradict_the_header_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"data.columns is \['text', 'label'\] but data.header is true .* leave data.columns"
    ):
        read(written(tmp_path / "a.csv", "label,text\na,one\n"), columns=["text", "label"])


def test_a_column_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"several columns are called 'text'.*rename all but one"):
        read(written(tmp_path / "a.csv", "text,text,label\none,two,a\n"))


def test_an_empty_file_with_a_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"empty, and data\.header is true"):
        read(written(tmp_path / "a.csv", ""))


def test_an_unreadable_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1 has to name the columns and is undecodable"):
        read(written(tmp_path / "a.csv", b"t\xffxt,label\none,a\n"))


@pytest.mark.parametrize("content", [b"not parquet", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read(written(tmp_path / "a.parquet", content))


def test_absent_files_and_unknown_endings_are_all_named(tmp_path: Path) -> None:
    written(tmp_path / "b.xlsx", "x")
    settings = DataSettings(train=str(tmp_path / "a.csv"), test=str(tmp_path / "b.xlsx"))
    with pytest.raises(DataError) as raised:
        FileSource(settings)
    assert "data.train = " in str(raised.value)
    assert "no such file" in str(raised.value)
    assert "the ending '.xlsx' names no format; known are .csv" in str(raised.value)


def test_a_set_format_overrides_the_ending(tmp_path: Path) -> None:
    rows, _bad = read(written(tmp_path / "a.txt", json.dumps({"text": "one", "label": "a"})), format="jsonl")
    assert [row.text for row in rows] == ["one"]
