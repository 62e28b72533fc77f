"""A quick look at a source, for `hone check`: reads its first rows and writes nothing."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as arrow
from pyarrow import compute

from hone.configs.data import DataSettings
from hone.tasks.contracts import BadRows
from hone.tasks.data.kinds import kind_of
from hone.tasks.data.prepare import three_splits
from hone.tasks.data.rows import BadRowLog
from hone.tasks.data.source import open_source
from hone.tasks.errors import DataError
from hone.tasks.message import Message
from hone.tasks.model.text import messages_of, spans_of

BATCH = 16
ROWS = 20_000  # of each split: read in a second, and enough for a wrong column or separator to show


@dataclass(frozen=True)
class Preview:
    """What the first rows of each split show."""

    rows: dict[str, int]
    """Usable rows looked at, by split that is given."""
    labels: dict[str, int]
    """How often each label occurs among those of training, by name; of sentences, how many entities each type has; of
    questions, how many have an answer and how many none; empty of numbers."""
    splits: dict[str, int]
    """Rows of each split as preparation would make it; empty where the source has more rows than were looked at."""
    complete: bool
    """Whether the source has no more rows than were looked at."""
    bad_rows: list[BadRows]
    texts: list[str]
    """Of one batch of training rows, half of it the first and half the longest."""
    pairs: list[str] | None
    """Their second texts, where the task has pairs."""
    label_ids: list[Any]
    """Their labels' places among `label_names`, where they may have several a flag for each; their numbers; -1 of
    sentences."""
    label_names: list[str]
    """Names by id of the labels, or of the tags."""
    tokens: list[list[str]] | None = None
    """Of sentences, their words."""
    tags: list[list[int]] | None = None
    """Of sentences, the places of their words' tags among `label_names`."""
    range: tuple[float, float] | None = None
    """Of numbers, the least and the largest among those of training."""
    spans: list[list[tuple[int, int]]] | None = None
    """Of questions, first character and end of each answer in the context."""

    documents: bool = False
    """Whether rows are documents or conversations, and have no label."""
    messages: list[list[Message]] | None = None
    """Of conversations, their messages."""

    @property
    def what(self) -> str:
        """What its rows are called."""
        if self.spans is not None:
            return "questions"
        if self.documents:
            return "documents" if self.messages is None else "conversations"
        return "rows" if self.tokens is None else "sentences"


def preview(settings: DataSettings, rows: int = ROWS, seed: int = 0) -> Preview:
    """Checks that the source, its splits and its columns are there, and reads the first `rows` rows of each split.

    Raises:
        DataError: for what makes preparation stop, as far as these rows show it.
        UnsafeFileError: when reading the source would run code.
    """
    source = open_source(settings, preview=True)
    bad = BadRowLog(source.locate)
    kind, known = kind_of(settings), source.label_names()
    found = {
        split: kind.collect(islice(source.rows(split, bad), rows), split, settings, bad, lambda _rows: None)
        for split in source.splits
    }
    complete = settings.source != "docstrings" and all(len(split.table) < rows for split in found.values())
    looked_at = bad.unusable + sum(len(split.table) for split in found.values())
    empty = [split for split, collected in found.items() if not len(collected.table)]
    given = found if complete else {"train": found["train"]}  # training may have the others' labels in later rows
    numbered, values = kind.number(given, settings, known, bad)
    bad.check(looked_at, settings.max_bad_fraction)
    if empty:
        raise DataError(
            f"no usable row among the first {rows:,} of {', '.join(empty)}: check the files and data.*_column"
        )
    if complete or kind.names_so_far(values, settings):
        names = kind.names(numbered, values, settings, known)
    else:
        names = [known.get(value, value) for value in values]
    splits: dict[str, arrow.Table] = {}
    if complete:  # what preparation would say
        splits = three_splits(numbered, names, settings, seed, BadRowLog(source.locate))
    return Preview(
        rows={split: len(collected.table) for split, collected in found.items()},
        labels=_counts(numbered["train"], names),
        splits={split: len(table) for split, table in splits.items()},
        complete=complete,
        bad_rows=bad.contracts(),
        label_names=names,
        range=_range(numbered["train"]),
        documents=bool(settings.document_column or settings.conversations),
        **_batch(numbered["train"], len(names)),
    )


def _range(train: arrow.Table) -> tuple[float, float] | None:
    if "number" not in train.column_names:
        return None
    numbers = train["number"].to_numpy()
    return float(numbers.min()), float(numbers.max())


def _counts(train: arrow.Table, names: list[str]) -> dict[str, int]:
    if "number" in train.column_names:
        return {}
    if "labels" in train.column_names:
        counts = np.bincount(compute.list_flatten(train["labels"]).to_numpy(), minlength=len(names))
        return {name: int(count) for name, count in zip(names, counts, strict=True)}
    if "tags" not in train.column_names:
        counts = np.bincount(train["label"].to_numpy(), minlength=len(names))
        return {name: int(count) for name, count in zip(names, counts, strict=True)}
    counts = np.bincount(compute.list_flatten(train["tags"]).to_numpy(), minlength=len(names))
    return {name.removeprefix("B-"): int(counts[tag]) for tag, name in enumerate(names) if name.startswith("B-")}


def _batch(table: arrow.Table, labels: int) -> dict[str, Any]:
    lengths = compute.utf8_length(table["text"]).to_numpy()
    longest = np.argsort(lengths, kind="stable")[::-1][: BATCH // 2]
    rows = table.take(np.unique(np.concatenate([np.arange(min(len(table), BATCH // 2)), longest])))
    pairs = rows["pair"].to_pylist()
    return {
        "texts": rows["text"].to_pylist(),
        "pairs": None if None in pairs else pairs,
        "label_ids": _label_ids(rows, labels),
        "spans": spans_of(rows) if "starts" in rows.column_names else None,
        "messages": messages_of(rows) if "messages" in rows.column_names else None,
        **{name: rows[name].to_pylist() for name in ("tokens", "tags") if name in rows.column_names},
    }


def _label_ids(rows: arrow.Table, labels: int) -> list[Any]:
    if "number" in rows.column_names:
        return list(rows["number"].to_pylist())
    if "labels" in rows.column_names:
        return [[int(label in own) for label in range(labels)] for own in rows["labels"].to_pylist()]
    return list(rows["label"].to_pylist())
