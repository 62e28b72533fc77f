"""Rows out of CSV, TSV, JSONL, JSON and Parquet, one at a time, with the line each one stands on; conll.py has CoNLL,
and documents.py plain text.

A row that cannot be read is recorded and left out; what makes a whole file useless raises.
"""

import csv
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from hone.configs.data import DataSettings
from hone.tasks.data.conll import read_conll
from hone.tasks.data.data_file import DataFile
from hone.tasks.data.documents import read_txt
from hone.tasks.data.rows import (
    BadRowLog,
    RawRow,
    check_columns,
    row_maker,
)
from hone.tasks.data.squad import read_squad
from hone.tasks.errors import DataError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BATCH_ROWS = 8192
ROWS_WITH_KEYS = 1000  # JSON objects looked at before a column that none of them has is called absent

Record = tuple[int, list[str] | str]
"""Line, and the fields or the kind of its fault."""
Reader = Callable[[DataFile, DataSettings, str, BadRowLog], Iterator[RawRow]]
LONGEST_RECORD = 2**25
"""Characters of a quoted CSV field over several lines: what is longer is a quote that never closes. A field on one line
may have any length."""


def read_tsv(file: DataFile, settings: DataSettings, split: str, bad: BadRowLog) -> Iterator[RawRow]:
    """Tab-separated lines. Quotes are ordinary characters, so a stray one swallows nothing.

    Raises:
        DataError: when a column is absent or the file is empty.
    """
    return _delimited(file, settings, split, bad, tsv_records(file))


def read_csv(file: DataFile, settings: DataSettings, split: str, bad: BadRowLog) -> Iterator[RawRow]:
    """Comma-separated records after RFC 4180: a quoted field may hold commas, line breaks and doubled quotes.

    Raises:
        DataError: when a column is absent or the file is empty.
    """
    return _delimited(file, settings, split, bad, csv_records(file, settings))


def read_jsonl(file: DataFile, settings: DataSettings, split: str, bad: BadRowLog) -> Iterator[RawRow]:
    """One JSON object a line. An absent key is an empty text or a missing label.

    Raises:
        DataError: when no object has a column, or the file is empty.
    """
    keys: dict[str, None] = {}
    objects, row = 0, row_maker(settings)
    for line, found in _trailing_blanks_dropped(json_records(file), blank=None, kind="not_json"):
        if isinstance(found, str):
            bad.add(found, split, line)
            continue
        if objects < ROWS_WITH_KEYS:
            objects += 1
            keys |= dict.fromkeys(found)
            if objects == ROWS_WITH_KEYS:
                check_columns(str(file.path), list(keys), settings)
        yield row(line, found.get)
    file.explain(bad)
    if objects < ROWS_WITH_KEYS:
        check_columns(str(file.path), list(keys), settings)


def read_json(file: DataFile, settings: DataSettings, split: str, bad: BadRowLog) -> Iterator[RawRow]:
    """A list of JSON objects, numbered from 1.

    Raises:
        DataError: when it is none, or no object has a column.
    """
    objects = json_objects(file)
    check_columns(str(file.path), list(dict.fromkeys(key for one in objects[:ROWS_WITH_KEYS] for key in one)), settings)
    row = row_maker(settings)
    for number, found in enumerate(objects, start=1):
        yield row(number, found.get)


def json_objects(file: DataFile) -> list[dict[str, Any]]:
    """The objects of a file that holds a list of them, all at once.

    Raises:
        DataError: when it holds something else.
    """
    with file.lines() as lines:
        content = b"".join(lines).removeprefix(BYTE_ORDER_MARK)
    try:
        told = json.loads(content.decode())
    except UnicodeDecodeError as error:
        raise DataError(f"{file.path}: no text in UTF-8: {error}: set data.encoding, or convert it") from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{file.path}: not readable as JSON: {error}: of an object a line set data.format=jsonl"
        ) from error
    if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
        raise DataError(
            f"{file.path}: not a list of objects, each of them a row, but {str(told)[:40]!r}: write it so, or as an "
            "object a line with data.format=jsonl"
        )
    return told


def read_parquet(file: DataFile, settings: DataSettings, split: str, bad: BadRowLog) -> Iterator[RawRow]:
    """Rows of a Parquet file, numbered from 1.

    Raises:
        DataError: when a column is absent, or the file is not Parquet or damaged.
    """
    try:
        with file.whole() as stream, parquet.ParquetFile(stream) as table:
            check_columns(str(file.path), table.schema_arrow.names, settings)
            batches = table.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys(settings.used_columns)))
            yield from rows_of_batches(batches, str(file.path), settings)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file.path}: not a readable Parquet file: {error}") from error


def rows_of_batches(
    batches: Iterable[pa.RecordBatch | pa.Table], where: str, settings: DataSettings
) -> Iterator[RawRow]:
    """Rows of Arrow data, numbered from 1.

    Raises:
        DataError: when a column is absent.
    """
    line = 0
    for batch in batches:
        check_columns(where, batch.schema.names, settings)
        columns = {name: _values(batch, name) for name in dict.fromkeys(settings.used_columns)}
        row = row_maker(settings, columns.__getitem__)
        for index in range(batch.num_rows):
            line += 1
            yield row(line, itemgetter(index))


def class_names(path: Path, column: str) -> dict[str, str]:
    """Names of tags by number, which Hugging Face datasets write into a Parquet file beside a list of class labels.

    Raises:
        DataError: when the file is not Parquet or damaged.
    """
    try:
        metadata = parquet.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from error
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        names = features[column]["feature"]["names"]
    except (ValueError, KeyError, TypeError):  # written by something else
        return {}
    return {str(value): str(name) for value, name in enumerate(names)}


READERS: dict[str, Reader] = {
    "csv": read_csv,
    "tsv": read_tsv,
    "jsonl": read_jsonl,
    "json": read_json,
    "parquet": read_parquet,
    "conll": read_conll,
    "squad": read_squad,
    "txt": read_txt,
}


def _values(batch: pa.RecordBatch | pa.Table, name: str) -> list[Any]:
    """A column as Python values; text stays bytes, as Arrow does not promise that they are UTF-8."""
    column = batch.column(name)
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        column = column.cast(kind)
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        column = column.cast(pa.string())  # 0.1 and not 0.10000000149011612, which is the same in fewer bits
        kind = column.type
    if (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _is_text(kind.value_type):
        column = column.cast(pa.large_list(pa.large_binary()))
    if _is_text(kind):
        column = column.cast(pa.large_binary())
    values: list[Any] = column.to_pylist()
    return values


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _delimited(
    file: DataFile, settings: DataSettings, split: str, bad: BadRowLog, records: Iterator[Record]
) -> Iterator[RawRow]:
    path, records = file.path, _trailing_blanks_dropped(records, blank=[], kind="wrong_field_count")
    columns = list(settings.columns)
    if settings.header:
        line, header = next(records, (0, []))
        if isinstance(header, str):
            file.explain(bad)
            told = "".join(f"; {kind.detail}" for kind in bad.contracts() if kind.detail)
            raise DataError(f"{path}: line {line} has to name the columns and is {header}: mend it{told}")
        if not header:
            raise DataError(f"{path}: empty, and data.header is true: its first line has to name the columns")
        header = [name.strip() for name in header]
        if columns and columns != header:
            raise DataError(
                f"{path}: data.columns is {columns} but data.header is true and the first line is {header}: "
                "set data.header=false, or leave data.columns empty"
            )
        columns = header
    check_columns(
        str(path), columns, settings, "; or, if the first line is a row, set data.header=false and data.columns=[...]"
    )
    row = row_maker(settings, columns.index)
    for line, fields in records:
        if isinstance(fields, str):
            bad.add(fields, split, line)
        elif len(fields) != len(columns):
            bad.add("wrong_field_count", split, line)
        elif line == 1 and [name.strip() for name in fields] == columns:
            raise DataError(f"{path}: data.header is false, and the first line names the columns: set data.header=true")
        else:
            yield row(line, fields.__getitem__)
    file.explain(bad)


def tsv_records(file: DataFile) -> Iterator[Record]:
    """Lines and their fields, the header's among them."""
    with file.lines() as stream:
        for line, raw in enumerate(stream, start=1):
            if line == 1:
                raw = raw.removeprefix(BYTE_ORDER_MARK)  # noqa: PLW2901
            raw = raw.rstrip(b"\r\n")  # noqa: PLW2901
            try:
                yield line, raw.decode().split("\t") if raw else []
            except UnicodeDecodeError:
                file.undecodable(raw)
                yield line, "undecodable"


def csv_records(file: DataFile, settings: DataSettings) -> Iterator[Record]:
    """A record that cannot be is blamed on its first line, and reading goes on at the next: a quote that never closes
    costs one row, not the rest of the file."""
    expected = 0 if settings.header else len(settings.columns)
    with file.lines() as stream:
        lines = _Lines(stream)
        records = csv.reader(lines, strict=True)
        while True:
            lines.begin_record()
            try:
                fields = next(records)
            except StopIteration:
                return
            except csv.Error:
                yield lines.keep_first(), "broken_quotes"
                continue
            expected = expected or len(fields)
            if lines.undecodable:
                file.undecodable(lines.raw)
                yield lines.first, "undecodable"
            elif len(fields) != expected and lines.several:
                yield lines.keep_first(), "wrong_field_count"
            else:
                yield lines.first, fields


class _Lines:
    """Lines of a file for `csv.reader`, which takes as many as a record needs; they can be given back."""

    def __init__(self, stream: Iterator[bytes]) -> None:
        self.undecodable = False
        self._stream = stream
        self._count = 0
        self._taken: list[tuple[int, bytes]] = []
        self._given_back: deque[tuple[int, bytes]] = deque()

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self._given_back:
            number, raw = self._given_back.popleft()
        else:
            raw = next(self._stream)
            self._count += 1
            number = self._count
            if number == 1:
                raw = raw.removeprefix(BYTE_ORDER_MARK)
        self._taken.append((number, raw))
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            self.undecodable = True
            text = raw.decode(errors="replace")
        csv.field_size_limit(max(LONGEST_RECORD, len(text)))
        # A carriage return inside a line is whitespace like any other; csv.reader would take it for a line break.
        return text.rstrip("\r\n").replace("\r", " ") + "\n"

    def begin_record(self) -> None:
        self._taken.clear()
        self.undecodable = False

    @property
    def first(self) -> int:
        return self._taken[0][0]

    @property
    def raw(self) -> bytes:
        return b"".join(raw for _number, raw in self._taken)

    @property
    def several(self) -> bool:
        return len(self._taken) > 1

    def keep_first(self) -> int:
        """Gives back all lines of the record but its first, and returns that one's number."""
        self._given_back.extendleft(reversed(self._taken[1:]))
        return self.first


def json_records(file: DataFile) -> Iterator[tuple[int, dict[str, Any] | str | None]]:
    """Lines and their objects, the kind of their fault, or None of a blank one."""
    with file.lines() as stream:
        for line, raw in enumerate(stream, start=1):
            if line == 1:
                raw = raw.removeprefix(BYTE_ORDER_MARK)  # noqa: PLW2901
            if not raw.strip():
                yield line, None
                continue
            try:
                found = json.loads(raw.decode())
            except UnicodeDecodeError:
                file.undecodable(raw)
                yield line, "undecodable"
            except (ValueError, RecursionError):  # the latter from thousands of nested brackets
                yield line, "not_json"
            else:
                yield line, found if isinstance(found, dict) else "not_json"


def _trailing_blanks_dropped(records: Iterator[tuple[int, Any]], blank: Any, kind: str) -> Iterator[tuple[int, Any]]:
    """Blank lines at the end of a file are no rows; between rows they are bad ones."""
    waiting: list[int] = []
    for line, found in records:
        if found == blank:
            waiting.append(line)
            continue
        yield from ((earlier, kind) for earlier in waiting)
        waiting.clear()
        yield line, found
