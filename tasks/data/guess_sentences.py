"""Whether a file holds sentences with a tag for each word, and where, for a first recipe: a guess, with its reasons."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from pyarrow import ArrowException, parquet

from hone.configs.data import DataSettings
from hone.tasks.data.columns import ROWS, encoding_of
from hone.tasks.data.conll import TAG, looks_like_conll
from hone.tasks.data.data_file import DataFile
from hone.tasks.data.files import FileSource, ending_format
from hone.tasks.data.guess import COVERED, LENGTHS, estimated_tokens
from hone.tasks.data.readers import ROWS_WITH_KEYS, json_records
from hone.tasks.data.rows import UNUSABLE, BadRowLog
from hone.tasks.data.sentences import collect_sentences
from hone.tasks.errors import DataError
from hone.tasks.objectives.token_classification.tags import detect_scheme

WORDS_NAMES = ("tokens", "words", "sentence", "text")
TAGS_NAMES = ("tags", "ner_tags", "ner", "labels", "entities")
ALIKE = 0.9
"""Share of the rows that have as many tags as words, if the two belong together."""


@dataclass(frozen=True)
class Sentences:
    """What was found."""

    settings: DataSettings
    """How the file is read, with the columns of its words and tags."""
    by_name: bool
    """Whether its columns have names, as those of CoNLL have not."""
    scheme: str
    """Of the tags; empty where they are numbers."""
    words: int
    """Of a sentence, in the median."""
    tokens: int
    """That 99 of 100 sentences have at most, as estimated."""
    max_length: int
    other_words: list[str]
    """Columns that could hold the words too, the likeliest first."""
    other_tags: list[str]


def guess_sentences(file: str, words: str = "", tags: str = "") -> Sentences | None:
    """The words and tags of a CoNLL, JSONL or Parquet file; None where it holds none.

    Args:
        words, tags: their columns, where a person names them.

    Raises:
        DataError: when columns are named of a file whose columns have no names, or the file cannot be read.
    """
    path = Path(file).expanduser()
    if not path.is_file() or not path.stat().st_size:
        return None  # whoever looks for texts and labels says so
    format_ = ending_format(path)
    if format_ == "parquet":
        return _in_columns(DataSettings(train=file), _parquet_rows(path), words, tags)
    plain = DataSettings(train=file, encoding=encoding_of(path))
    if format_ == "jsonl":
        records = (found for _line, found in json_records(DataFile(path, plain.encoding)))
        return _in_columns(plain, (found for found in records if isinstance(found, dict)), words, tags)
    if format_ != "conll" and not looks_like_conll(DataFile(path, plain.encoding)):
        return None
    if words or tags:
        raise DataError(
            f"{file}: --text and --label name columns, and those of a CoNLL file have no names: the first is the word, "
            "the last its tag; where they are others, name all of them in data.columns of the recipe"
        )
    told = "auto" if format_ == "conll" else "conll"
    return _looked_at(plain.model_copy(update={"format": told, "tokens_column": "tokens"}), by_name=False)


def _in_columns(plain: DataSettings, records: Iterable[dict[str, Any]], words: str, tags: str) -> Sentences | None:
    """The columns of lists that belong together, those with the likeliest names first."""
    rows = list(islice(records, ROWS_WITH_KEYS))
    names = dict.fromkeys(name for row in rows for name in row)
    lists = {name: values for name in names if (values := _lists([row.get(name) for row in rows]))}
    numbered = {tags, *(name for name in lists if name.lower() in TAGS_NAMES)}
    found_tags = [name for name in lists if _are_tags(lists[name]) or (name in numbered and _are_numbers(lists[name]))]
    of_tags = sorted(found_tags, key=lambda name: _rank(name, TAGS_NAMES))
    of_words = sorted((name for name in lists if _are_words(lists[name])), key=lambda name: _rank(name, WORDS_NAMES))
    pairs = [
        (one, other)
        for one in of_words
        for other in of_tags
        if one != other and words in ("", one) and tags in ("", other) and _belong(rows, one, other)
    ]
    if not pairs:
        return None
    first, second = pairs[0]
    found = plain.model_copy(update={"tokens_column": first, "tags_column": second})
    others = [one for one in dict.fromkeys(one for one, _ in pairs) if one != first]
    return _looked_at(found, True, others, [other for one, other in pairs if one == first and other != second])


def _looked_at(
    settings: DataSettings, by_name: bool, other_words: Sequence[str] = (), other_tags: Sequence[str] = ()
) -> Sentences:
    source = FileSource(settings)
    bad = BadRowLog(source.locate)
    found = collect_sentences(islice(source.rows("train", bad), ROWS), "train", settings, bad)
    if not len(found.table):
        kinds = ", ".join(f"{kind.count:,} with {UNUSABLE.get(kind.kind, kind.kind)}" for kind in bad.contracts())
        raise DataError(
            f"{settings.train}: no sentence that can be read{f' ({kinds})' if kinds else ''}: mend the file"
        )
    sentences = found.table["tokens"].to_pylist()
    sizes = sorted(sum(map(estimated_tokens, words)) + 2 for words in sentences)
    tokens = sizes[min(len(sizes) - 1, int(COVERED * len(sizes)))]
    numbers = all(value.removeprefix("-").isdecimal() for value in found.values)
    tags = ([found.values[tag] for tag in sentence] for sentence in found.table["tags"].to_pylist())
    return Sentences(
        settings=settings,
        by_name=by_name,
        scheme="" if numbers else detect_scheme(tags),
        words=int(median(map(len, sentences))),
        tokens=tokens,
        max_length=next((length for length in LENGTHS if length >= tokens), LENGTHS[-1]),
        other_words=list(other_words),
        other_tags=list(other_tags),
    )


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    try:
        with DataFile(path, "auto").whole() as stream, parquet.ParquetFile(stream) as table:
            batch = next(table.iter_batches(ROWS_WITH_KEYS), None)
            return [] if batch is None else batch.to_pylist()
    except (ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file: {error}") from error


def _lists(values: Sequence[Any]) -> list[list[Any]]:
    """The lists of a column; none where it holds anything else."""
    there = [value for value in values if value is not None]
    return there if all(isinstance(value, list) for value in there) else []


def _are_words(lists: list[list[Any]]) -> bool:
    """Whether they hold texts that are not all tags."""
    items = [item for row in lists for item in row]
    return bool(items) and all(isinstance(item, str) for item in items) and not _are_tags(lists)


def _are_tags(lists: list[list[Any]]) -> bool:
    items = {str(item) for row in lists for item in row}
    return bool(items) and all(TAG.fullmatch(item) for item in items)


def _are_numbers(lists: list[list[Any]]) -> bool:
    """Whether they hold whole numbers, as of tags or of anything else: the column's name has to tell."""
    items = [item for row in lists for item in row]
    return bool(items) and all(isinstance(item, int) and not isinstance(item, bool) for item in items)


def _belong(rows: Sequence[dict[str, Any]], words: str, tags: str) -> bool:
    pairs = [(row[words], row[tags]) for row in rows if row.get(words) is not None and row.get(tags) is not None]
    return bool(pairs) and sum(len(one) == len(other) for one, other in pairs) >= ALIKE * len(pairs)


def _rank(name: str, known: Sequence[str]) -> int:
    return known.index(name.lower()) if name.lower() in known else len(known)
