"""Reading files: what a row is, on which line it stands, and what becomes of one that cannot be read."""

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from hone.configs.data import DataSettings
from hone.tasks.data import readers
from hone.tasks.data.clean import collect
from hone.tasks.data.data_file import guess_encoding
from hone.tasks.data.files import FileSource
from hone.tasks.data.rows import BadRowLog, RawRow
from hone.tasks.errors import DataError


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


@pytest.mark.parametrize("text", ["x" * 200_000, f'"{"x" * 200_000},{"y" * 10}"', '"' + f"{'x' * 1000}\n" * 200 + '"'])
def test_csv_field_may_have_any_length(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "a.csv", f"text,label\n{text},a\ngood,b\n")
    rows, bad = read(path)
    assert [row.text for row in rows] == [text.strip('"'), "good"]
    assert bad == {}


def test_csv_field_on_one_line_may_be_longer_than_a_quote_that_never_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "LONGEST_RECORD", 100)
    lines = ["text,label", "x" * 5000 + ",a", '"never closed,b', *["y" * 50 + ",a"] * 10]
    rows, bad = read(written(tmp_path / "a.csv", "\n".join(lines)))
    assert [row.line for row in rows] == [2, *range(4, 14)]
    assert bad == {"broken_quotes": ["train:3"]}


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


CAFE = {
    "csv": 'text,label\r\n"café,\r\nnoir",a\r\n日本,b\r\n',
    "tsv": "text\tlabel\r\ncafé,\tb\r\n日本\tb\r\n",
    "jsonl": '{"text": "café,", "label": "b"}\n{"text": "日本", "label": "b"}\n',
}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("ending", CAFE)
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, ending: str, encoding: str) -> None:
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    rows, bad = read(written(tmp_path / f"a.{ending}", mark + CAFE[ending].encode(encoding)))
    assert [str(row.text).split(",")[0] for row in rows] == ["café", "日本"]
    assert rows[-1].label == "b"
    assert bad == {}


def test_half_a_character_in_utf16_costs_its_line_alone(tmp_path: Path) -> None:
    broken = "text,label\none,a\n".encode("utf-16") + b"\x00\xd8" + "two,b\nthree,b\n".encode("utf-16-le")
    rows, bad = read(written(tmp_path / "a.csv", broken))
    assert [row.text for row in rows] == ["one", "three"]
    assert bad == {"undecodable": ["train:3"]}


def test_utf16_without_a_mark_is_named_and_read_once_it_is_set(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", CAFE["csv"].encode("utf-16-le"))
    with pytest.raises(DataError, match=r"looks like UTF-16 without a byte order mark: set data\.encoding=utf-16-le"):
        read(path)
    assert len(read(path, encoding="utf-16-le")[0]) == 2


def test_what_bytes_that_are_not_utf8_look_like_is_said_and_read_once_it_is_set(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "text,label\ncafé au lait,a\nrien à dire,b\n".encode("cp1252"))
    source = FileSource(DataSettings(train=str(path)))
    bad = BadRowLog(source.locate)
    assert list(source.rows("train", bad)) == []
    (kind,) = bad.contracts()
    assert (kind.kind, kind.count) == ("undecodable", 2)
    assert kind.detail == f"{path} looks like cp1252: set data.encoding=cp1252, or convert it to UTF-8"
    assert [row.text for row in read(path, encoding="cp1252")[0]] == ["café au lait", "rien à dire"]


def test_other_scripts_are_told_from_western_ones() -> None:
    said = "Это предложение написано по-русски и его кодировка старая, но её ещё можно узнать. " * 5
    assert guess_encoding(said.encode("cp1251")) == "cp1251"


@pytest.mark.parametrize("encoding", ["ansi-ish", "base64"])
def test_an_encoding_that_python_does_not_know_is_refused(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(DataError, match="Python knows no such encoding; try cp1252"):
        read(written(tmp_path / "a.csv", "x"), encoding=encoding)


@pytest.mark.parametrize(("pack", "ending"), [(gzip, "gz"), (bz2, "bz2"), (lzma, "xz")])
@pytest.mark.parametrize("kind", CAFE)
def test_packed_files_are_read_by_what_their_names_say_inside(
    tmp_path: Path, kind: str, pack: Any, ending: str
) -> None:
    rows, bad = read(written(tmp_path / f"a.{kind}.{ending}", pack.compress(CAFE[kind].encode())))
    assert len(rows) == 2
    assert bad == {}


def test_a_packed_file_that_is_cut_off_is_told(tmp_path: Path) -> None:
    packed = gzip.compress(b"text,label\n" + b"one,a\n" * 10_000)
    with pytest.raises(DataError, match=r"a\.csv\.gz: a packed file that is damaged or cut off"):
        read(written(tmp_path / "a.csv.gz", packed[:-20]))


@pytest.mark.parametrize(("content", "said"), [(b"PK\x03\x04..", "zip archive"), (b"PAR1....", "data.format=parquet")])
def test_what_is_no_text_at_all_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(written(tmp_path / "a.csv", content))


def shards(folder: Path) -> Path:
    (folder / "part=2").mkdir(parents=True)
    written(folder / "a.csv", "text,label\none,a\n\xff,b\n".encode("latin-1"))
    written(folder / "b.csv.gz", gzip.compress(b"text,label\ntwo,b\nthree,a\n"))
    written(folder / "part=2" / "c.csv", "text,label\nfour\n")
    written(folder / "_SUCCESS", "")
    written(folder / ".a.csv.crc", "x")
    return folder


def test_a_folder_of_shards_is_one_split_and_a_line_is_named_with_its_file(tmp_path: Path) -> None:
    rows, bad = read(shards(tmp_path / "rows"))
    assert [row.text for row in rows] == ["one", "two", "three"]
    assert bad == {"undecodable": ["train:a.csv:3"], "wrong_field_count": ["train:c.csv:2"]}
    source = FileSource(DataSettings(train=str(tmp_path / "rows")))
    assert source.locate("train", list(source.rows("train", BadRowLog(source.locate)))[-1].line) == "train:b.csv.gz:3"


def test_a_pattern_names_shards_and_their_digest_is_the_same_under_other_names(tmp_path: Path) -> None:
    folder = shards(tmp_path / "rows")
    pattern = FileSource(DataSettings(train=str(folder / "[ab].csv*")))
    assert len(list(pattern.rows("train", BadRowLog(pattern.locate)))) == 3
    before = pattern.digests()
    assert pattern.read_digests() == before
    (folder / "a.csv").rename(folder / "b.csv")
    assert FileSource(DataSettings(train=str(folder / "b.csv*"))).digests() == before


def test_a_pattern_without_files_and_files_of_several_formats_are_told(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", "x")
    written(tmp_path / "b.tsv", "x")
    settings = DataSettings(train=str(tmp_path), test=str(tmp_path / "*.parquet"))
    with pytest.raises(DataError, match=r"(?s)data\.test = .*no such file.*files of several formats, csv, tsv"):
        FileSource(settings)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_is_read_is_digested_as_it_is_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    if ending == "parquet":
        parquet.write_table(pa.table({"text": ["one"], "label": ["a"]}), path)
    else:
        written(path, "text,label\none,a\n")
    source = FileSource(DataSettings(train=str(path)))
    assert source.read_digests() == {}
    assert len(list(source.rows("train", BadRowLog(source.locate)))) == 1
    assert source.read_digests() == source.digests()


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["1.00", "0.50"], pa.decimal128(10, 2), ["1", "0.5"]),
        (["0.1", "2"], pa.float32(), ["0.1", "2"]),
        ([1, 0], pa.date32(), ["1970-01-02", "1970-01-01"]),
        ([True, False], pa.bool_(), ["True", "False"]),
        (["b", "a"], pa.dictionary(pa.int32(), pa.large_string()), ["b", "a"]),
    ],
)
def test_labels_of_every_arrow_type_are_values(tmp_path: Path, values: list, kind: pa.DataType, expected: list) -> None:
    column = pa.array(values).cast(kind) if not pa.types.is_date(kind) else pa.array(values, pa.int32()).cast(kind)
    parquet.write_table(pa.table({"text": ["one", "two"], "label": column}), tmp_path / "a.parquet")
    settings = DataSettings(train=str(tmp_path / "a.parquet"))
    bad = BadRowLog(str)
    assert collect(FileSource(settings).rows("train", bad), "train", settings, bad).values == expected
