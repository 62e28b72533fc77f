"""Sentences with a tag for each word: cleaned and gathered as tasks/data/clean.py does it with texts."""

import unicodedata
from collections.abc import Callable, Iterable

import pyarrow as pa

from hone.configs.data import DataSettings
from hone.tasks.data.clean import SCHEMA, Collected, Gathered, Unusable, as_text, normalize_label, normalizer
from hone.tasks.data.rows import BadRowLog, RawRow

TAGGED = pa.schema([*SCHEMA, ("tokens", pa.list_(pa.large_string())), ("tags", pa.list_(pa.int32()))])
"""Rows inside this stage, with the words and their tags. `text` is the words with blanks between them: by it, sentences
that are cut into words in two ways are the same. `label` is -1."""


def collect_sentences(
    rows: Iterable[RawRow],
    split: str,
    settings: DataSettings,
    bad: BadRowLog,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Collected:
    """Cleans sentences and gathers the usable ones, their tags as they were found; the others are recorded.

    Args:
        rows: with a list of words as `text`, and one of tags as `label`.
        on_rows: told now and then how many rows are gathered.
    """
    normalize = normalizer(settings.lowercase, strip_punctuation=False)
    values: dict[str, int] = {}
    gathered = Gathered(TAGGED, on_rows)
    for row in rows:
        try:
            words = [normalize(as_text(word)) for word in _listed(row.text, "empty_text")]
            marks = [_tag(as_text(tag)) for tag in _listed(row.label, "missing_label")]
            parts = [normalize_label(as_text(value)) for value in row.slices]
            _check(words, marks)
        except Unusable as reason:
            bad.add(str(reason), split, row.line)
            continue
        tags = [values.setdefault(mark, len(values)) for mark in marks]
        gathered.add(" ".join(words), None, -1, row.line, parts, words, tags)
    return Collected(gathered.table(), list(values))


def _listed(value: object, absent: str) -> list[object]:
    if value is None:
        raise Unusable(absent)
    if not isinstance(value, list):
        raise Unusable("wrong_type")
    return value


def _tag(value: str) -> str:
    return unicodedata.normalize("NFC", value.strip())


def _check(words: list[str], tags: list[str]) -> None:
    if len(words) != len(tags):
        raise Unusable("length_mismatch")
    if not words:
        raise Unusable("empty_sentence")
    if not all(words):
        raise Unusable("empty_text")
    if not all(tags):
        raise Unusable("missing_label")
