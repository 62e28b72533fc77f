"""The columns of a file that has no recipe yet: what they are called, and what stands in their first rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from pyarrow import ArrowException, parquet

from hone.configs.data import DataSettings
from hone.tasks.data.clean import Unusable, as_text, normalize_label
from hone.tasks.data.data_file import LINES_LOOKED_AT, DataFile, guess_encoding
from hone.tasks.data.files import FileSource, ending_format
from hone.tasks.data.readers import ROWS_WITH_KEYS, csv_records, json_objects, json_records, tsv_records
from hone.tasks.data.rows import UNUSABLE, BadRowLog
from hone.tasks.errors import DataError
from hone.tasks.label_value import NUMBER

ROWS = 20_000  # as many as `hone check` reads
MESSAGES, PROMPT, COMPLETION = "messages", "prompt", "completion"
CONTEXT = "context"
STARTS = ("start", "starts", "answer_start")
"""Names of a column with where answers begin."""
ROWS_BESIDE = 1000  # held against the first line, to tell whether it is one of them


@dataclass(frozen=True)
class Columns:
    """What was read."""

    settings: DataSettings
    """How the file is read; its column settings say nothing yet."""
    values: dict[str, list[str]]
    """By column: clean text, empty where there is none; columns that hold lists or objects are left out."""
    rows: int
    complete: bool
    """Whether the file has no more rows than were read."""
    lists: dict[str, list[list[str]]] = field(default_factory=dict)
    """By column that holds lists of single values: those of each row that has one."""


def read_columns(file: str, rows: int = ROWS) -> Columns:
    """The columns of a CSV, TSV, JSONL or Parquet file, packed or not, with the values of its first rows.

    Raises:
        DataError: when it is absent, empty, no such file, or has fewer than two columns.
    """
    path = Path(file).expanduser()
    if path.is_dir():
        raise DataError(f"{file}: a folder: name one of its files, and the folder later, in data.train of the recipe")
    settings = _settings(path, file)
    names = list(dict.fromkeys(settings.slice_columns))
    if len(names) < 2:
        split = next((sign for sign in ";|" if sign in "".join(names)), "")
        advice = f"fields are separated by {split!r}? Hone reads commas and tabs: export it so" if split else (
            "a classifier needs a column with the text and one with the label"
        )  # fmt: skip
        raise DataError(f"{file}: one column, {', '.join(map(repr, names)) or 'without a name'}: {advice}")
    source = FileSource(settings)
    bad = BadRowLog(source.locate)
    found: dict[str, list[str]] = {name: [] for name in names}
    lists: dict[str, list[list[str]]] = {name: [] for name in names}
    read = 0
    for row in islice(source.rows("train", bad), rows + 1):
        read += 1
        for name, value in zip(settings.slice_columns, row.slices, strict=True):
            if isinstance(value, list) and name in lists and read <= rows:
                try:
                    lists[name].append([normalize_label(as_text(one)) for one in value])
                except Unusable:
                    del lists[name]
            if name in found and read <= rows:
                try:
                    found[name].append(normalize_label(as_text(value)))
                except Unusable as reason:
                    if str(reason) == "wrong_type":
                        del found[name]
                    else:
                        found[name].append("")
    if not read:
        kinds = "".join(f", but {kind.count:,} with {UNUSABLE[kind.kind]}" for kind in bad.contracts())
        raise DataError(f"{file}: no row of {', '.join(names)} that can be read{kinds}: name a file with labelled rows")
    lists = {name: values for name, values in lists.items() if values and name not in found}
    return Columns(settings, found, min(read, rows), read <= rows, lists)


def question_settings(file: str) -> DataSettings | None:
    """How a file of questions about contexts is read: SQuAD's JSON, or JSONL or Parquet with the columns question,
    context and answers. None of any other file, and of one that is absent."""
    path = Path(file).expanduser()
    format_ = ending_format(path)
    if not path.is_file() or not path.stat().st_size or format_ not in ("squad", "jsonl", "parquet"):
        return None
    settings = DataSettings(train=file, context_column=CONTEXT)
    if format_ != "parquet":
        settings = settings.model_copy(update={"encoding": encoding_of(path)})
    if format_ == "squad":
        return settings
    names = _parquet_names(path) if format_ == "parquet" else _json_names(path, settings.encoding)
    if not {CONTEXT, settings.question_column, settings.answers_column} <= set(names):
        return None
    start = next((name for name in STARTS if name in names), "")
    return settings.model_copy(update={"start_column": start})


def conversation_settings(file: str) -> DataSettings | None:
    """How a file of conversations is read: JSONL, JSON or Parquet with a column `messages`, or with `prompt` and
    `completion`. None of any other file, and of one that is absent."""
    path = Path(file).expanduser()
    format_ = ending_format(path)
    if not path.is_file() or not path.stat().st_size or format_ not in ("squad", "jsonl", "parquet"):
        return None
    encoding = encoding_of(path) if format_ != "parquet" else "auto"
    if format_ == "squad":
        try:
            names = list(dict.fromkeys(name for one in json_objects(DataFile(path, encoding)) for name in one))
        except DataError:
            return None
    else:
        names = _parquet_names(path) if format_ == "parquet" else _json_names(path, encoding)
    plain = DataSettings(train=file, encoding=encoding)
    if MESSAGES in names:
        return plain.model_copy(update={"messages_column": MESSAGES})
    return plain.model_copy(update={"prompt_column": PROMPT}) if {PROMPT, COMPLETION} <= set(names) else None


def _settings(path: Path, file: str) -> DataSettings:
    """How to read the file, with all its columns as slice columns."""
    plain = DataSettings(train=file)
    format_ = FileSource(plain).formats["train"]
    if path.stat().st_size == 0:
        raise DataError(f"{file}: empty: name a file with labelled rows")
    if format_ == "parquet":
        return _using(plain, _parquet_names(path))
    plain = plain.model_copy(update={"encoding": encoding_of(path)})
    if format_ == "jsonl":
        return _using(plain, _json_names(path, plain.encoding))
    if format_ == "csv" and "\t" in (_first_lines(path, plain, "csv") or [[""]])[0][0]:
        plain, format_ = plain.model_copy(update={"format": "tsv"}), "tsv"
    lines = _first_lines(path, plain, format_)
    if not lines:
        raise DataError(f"{file}: empty: name a file with labelled rows")
    first, rest = lines[0], lines[1:]
    if not _is_row(first, rest):
        return _using(plain, [name.strip() for name in first])
    names = [f"column_{number}" for number in range(1, len(first) + 1)]
    return _using(plain.model_copy(update={"header": False, "columns": names}), names)


def encoding_of(path: Path) -> str:
    """auto, unless the first rows show bytes that it cannot read; then what they look like."""
    odd: list[bytes] = []
    with DataFile(path, "auto").lines() as lines:
        for raw in islice(lines, ROWS):
            try:
                raw.decode()
            except UnicodeDecodeError:
                odd.append(raw)
                if len(odd) == LINES_LOOKED_AT:
                    break
    return guess_encoding(b"".join(odd)) if odd else "auto"


def _using(plain: DataSettings, names: list[str]) -> DataSettings:
    """Columns that have a name of their own: others cannot be asked for."""
    usable = [name for name in names if name and names.count(name) == 1]
    if not usable:
        return plain.model_copy(update={"slice_columns": []})
    return plain.model_copy(update={"text_column": usable[0], "label_column": usable[0], "slice_columns": usable})


def _first_lines(path: Path, plain: DataSettings, format_: str) -> list[list[str]]:
    """Fields of the first lines that have any."""
    file = DataFile(path, plain.encoding)
    records: Iterator[tuple[int, list[str] | str]] = csv_records(file, plain) if format_ == "csv" else tsv_records(file)
    beginning = islice(records, 1 + ROWS_BESIDE)
    return [fields for _line, fields in beginning if not isinstance(fields, str) and fields]


def _is_row(first: list[str], rest: list[list[str]]) -> bool:
    """Whether the first line is a row like the others, and no header: one of its fields is a number, or stands again
    below in its column."""
    others = [fields for fields in rest if len(fields) == len(first) and fields != first]
    again = any(value and any(fields[index] == value for fields in others) for index, value in enumerate(first))
    return again or any(NUMBER.fullmatch(value.strip()) for value in first)


def _json_names(path: Path, encoding: str) -> list[str]:
    names: dict[str, None] = {}
    for _line, found in islice(json_records(DataFile(path, encoding)), ROWS_WITH_KEYS):
        if isinstance(found, dict):
            names |= dict.fromkeys(found)
    return list(names)


def _parquet_names(path: Path) -> list[str]:
    try:
        return [str(name) for name in parquet.read_schema(path).names]
    except (ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from error
