"""Sentences with a tag for each word: cleaned and gathered as tasks/data/clean.py does it with texts."""

import unicodedata
from collections.abc import Callable, Iterable

import pyarrow as pa

from hone.configs.data import DataSettings
from hone.tasks.data.clean import ROWS_AT_ONCE, SCHEMA, Collected, Unusable, as_text, normalize_label, normalizer
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
    batches: list[pa.RecordBatch] = []
    columns: tuple[list[str], list[None], list[int], list[int], list[list[str]], list[list[str]], list[list[int]]]
    columns = ([], [], [], [], [], [], [])
    texts, pairs, labels, lines, slices, tokens, tags = columns
    gathered = 0

    def flush() -> None:
        batches.append(pa.record_batch(list(columns), schema=TAGGED))
        for column in columns:
            column.clear()
        on_rows(gathered)

    for row in rows:
        try:
            words = [normalize(as_text(word)) for word in _listed(row.text, "empty_text")]
            marks = [_tag(as_text(tag)) for tag in _listed(row.label, "missing_label")]
            parts = [normalize_label(as_text(value)) for value in row.slices]
            _check(words, marks)
        except Unusable as reason:
            bad.add(str(reason), split, row.line)
            continue
        texts.append(" ".join(words))
        pairs.append(None)
        labels.append(-1)
        lines.append(row.line)
        slices.append(parts)
        tokens.append(words)
        tags.append([values.setdefault(mark, len(values)) for mark in marks])
        gathered += 1
        if len(texts) == ROWS_AT_ONCE:
            flush()
    flush()
    return Collected(pa.Table.from_batches(batches, schema=TAGGED), list(values))


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
