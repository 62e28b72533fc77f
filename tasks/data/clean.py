"""Cleans rows and gathers the usable ones as an Arrow table, a few thousand at a time: a million rows stay small."""

import functools
import string
import sys
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from typing import Any, Protocol

import pyarrow as pa

from hone.configs.data import DataSettings
from hone.tasks.data.rows import BadRowLog, RawRow
from hone.tasks.label_value import one_spelling

ROWS_AT_ONCE = 16_384

SCHEMA = pa.schema(
    [
        ("text", pa.large_string()),  # with 64-bit offsets, as several GB of text are no rarity
        ("pair", pa.large_string()),
        ("label", pa.int32()),
        ("line", pa.int64()),
        ("slices", pa.list_(pa.large_string())),
    ]
)
"""Rows inside this stage. `pair` is null where the task has one text; `line` is where the source holds the row;
`slices` are the values of data.slice_columns."""


@dataclass(frozen=True)
class Collected:
    """The usable rows of one split."""

    table: pa.Table
    """As SCHEMA says; a label is its place in `values`."""
    values: list[str]
    """Label values in the order of their first row."""


class Further(Protocol):
    """What a row has instead of one label, in a column of its own; `label` is then -1. One object reads one split."""

    @property
    def field(self) -> pa.Field:
        """The column."""

    def read(self, value: object) -> Any:
        """What the row's label column says.

        Raises:
            Unusable: where it says nothing that can be used.
        """

    def number(self, read: Any, values: dict[str, int]) -> Any:
        """What was read, as the column holds it.

        Args:
            values: places of the values that have been seen, to which it adds.
        """

    def explain(self, split: str, bad: BadRowLog) -> None:
        """Says more of what could not be used, once all rows are read."""


class Unusable(Exception):  # noqa: N818 - says what a row is, and never leaves this file
    """A row that cannot be used; its argument is the kind."""


class Gathered:
    """Usable rows on their way into a table: some thousand at a time as Python has them, and the others as Arrow does.

    Args:
        on_rows: told now and then how many there are.
    """

    def __init__(self, schema: pa.Schema, on_rows: Callable[[int], None]) -> None:
        self._schema, self._on_rows = schema, on_rows
        self._batches: list[pa.RecordBatch] = []
        self._columns: list[list[Any]] = [[] for _field in schema]
        self._rows = 0

    def add(self, *values: Any) -> None:
        """Adds a row, its values in the order of the schema."""
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)
        self._rows += 1
        if self._rows % ROWS_AT_ONCE == 0:
            self._flush()

    def table(self) -> pa.Table:
        """All of them."""
        self._flush()
        return pa.Table.from_batches(self._batches, schema=self._schema)

    def _flush(self) -> None:
        self._batches.append(pa.record_batch(self._columns, schema=self._schema))
        for column in self._columns:
            column.clear()
        self._on_rows(self._rows)


def collect(
    rows: Iterable[RawRow],
    split: str,
    settings: DataSettings,
    bad: BadRowLog,
    on_rows: Callable[[int], None] = lambda rows: None,
    further: Further | None = None,
) -> Collected:
    """Cleans rows and gathers the usable ones; the others are recorded.

    Args:
        on_rows: told now and then how many rows are gathered.
        further: what rows have instead of one label; None: a label.
    """
    normalize = normalizer(settings.lowercase, settings.strip_punctuation)
    paired = bool(settings.pair_column)
    values: dict[str, int] = {}
    gathered = Gathered(SCHEMA if further is None else SCHEMA.append(further.field), on_rows)
    for row in rows:
        try:
            text = _required(normalize(as_text(row.text)), "empty_text")
            pair = _required(normalize(as_text(row.pair)), "empty_text") if paired else None
            if further is None:
                label = _required(normalize_label(as_text(row.label)), "missing_label")
            else:
                mark = further.read(row.label)
            parts = [normalize_label(as_text(value)) for value in row.slices]
        except Unusable as reason:
            bad.add(str(reason), split, row.line)
            continue
        if further is None:
            gathered.add(text, pair, values.setdefault(label, len(values)), row.line, parts)
        else:
            gathered.add(text, pair, -1, row.line, parts, further.number(mark, values))
    if further is not None:
        further.explain(split, bad)
    return Collected(gathered.table(), list(values))


def normalizer(lowercase: bool, strip_punctuation: bool) -> Callable[[str], str]:
    """A function that brings text to Unicode NFC with single spaces, and none at its ends. Idempotent.

    With `strip_punctuation`, every character of a Unicode category P and every ASCII symbol becomes a space.

    Source: Unicode Standard Annex 15, Unicode Normalization Forms.
    """
    punctuation = _punctuation() if strip_punctuation else None

    def normalize(text: str) -> str:
        if lowercase:
            text = text.lower()
        if punctuation is not None:
            text = text.translate(punctuation)
        if not text.isascii():
            text = unicodedata.normalize("NFC", text)
        return " ".join(text.split())

    return normalize


def normalize_label(value: str) -> str:
    """A label value in Unicode NFC with single spaces, a number in its one spelling: neither a stray blank nor `1.0`
    makes a new class."""
    return one_spelling(unicodedata.normalize("NFC", " ".join(value.split())))


def as_text(value: object) -> str:
    """A value as text, the same from every format: `1`, 1 and 1.0 are one label; absent values and NaN are empty.

    Raises:
        Unusable: `undecodable` or `wrong_type`.
    """
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise Unusable("undecodable")  # half of a surrogate pair, which JSON can escape and UTF-8 cannot hold
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Unusable("undecodable") from None
    if value is None:
        return ""
    if isinstance(value, float | Decimal):
        return "" if value != value else one_spelling(str(value))  # noqa: PLR0124 - NaN alone differs from itself
    if isinstance(value, int | date | time):  # bool is an int, and a point in time a date
        return str(value)
    raise Unusable("wrong_type")


def _required(text: str, kind: str) -> str:
    if not text:
        raise Unusable(kind)
    return text


@functools.cache
def _punctuation() -> dict[int, str]:
    table = {code: " " for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("P")}
    return table | {ord(symbol): " " for symbol in string.punctuation}
