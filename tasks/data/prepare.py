"""From a source to three clean splits on disk."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from hone.configs.data import DataSettings
from hone.tasks.contracts import BadRows, SharedText
from hone.tasks.data.clean import Collected
from hone.tasks.data.conversations import MESSAGES
from hone.tasks.data.digest import content_digest, in_canonical_order
from hone.tasks.data.kinds import kind_of
from hone.tasks.data.rows import SPLITS, BadRowLog
from hone.tasks.data.source import Source
from hone.tasks.data.split import (
    draw_per_label,
    missing_splits,
    split_off,
    with_keys,
    without_duplicates,
    without_overlap,
)
from hone.tasks.data.strata import stratified, unseen, with_groups
from hone.tasks.errors import DataError
from hone.tasks.objectives.text_generation import ngrams

WRITTEN = pa.schema(
    [("text", pa.string()), ("pair", pa.string()), ("label", pa.int32()), ("slices", pa.list_(pa.string()))]
)
WRITTEN_SEVERAL = pa.schema([*WRITTEN, ("flags", pa.list_(pa.int8()))])
"""Of texts with several labels: for each of all labels, 1 where the text has it, and 0; `label` is -1."""
WRITTEN_NUMBERS = pa.schema([*WRITTEN, ("number", pa.float64())])
"""Of texts with a number; `label` is -1."""
WRITTEN_QUESTIONS = pa.schema([*WRITTEN, ("starts", pa.list_(pa.int32())), ("ends", pa.list_(pa.int32()))])
"""Of questions: where each answer stands in the context, which is `pair`; `label` is 0, and 1 of those without any."""
WRITTEN_CONVERSATIONS = pa.schema([*WRITTEN, ("messages", MESSAGES)])
"""Of conversations: their messages; `text` is what people said in them, `label` is 0."""
WRITTEN_TAGGED = pa.schema([*WRITTEN, ("tokens", pa.list_(pa.string())), ("tags", pa.list_(pa.int32()))])
"""Of sentences: the words and their tags too; `text` is the words with blanks between them, `label` is -1."""
ROW_GROUP = 65_536


@dataclass(frozen=True)
class Prepared:
    """What was prepared; the fields of `PreparedData` other than its record and artifact."""

    content_digest: str
    labels: list[str]
    """Names of the labels, or of the tags, by id; of numbers, that of their column."""
    target: str
    """The column with what rows have."""
    rows: dict[str, int]
    bad_rows: list[BadRows]
    has_pairs: bool
    shared_text: SharedText | None = None
    """Of documents and conversations, what of the test split stands in training."""


def prepare(
    source: Source,
    settings: DataSettings,
    seed: int,
    folder: Path,
    on_progress: Callable[[float, float, str], None] = lambda done, total, note: None,
) -> Prepared:
    """Reads, cleans, splits and writes `train.parquet`, `validation.parquet`, `test.parquet` and `labels.json`.

    Splits that are given keep their rows, less what stands in a later one. From a training split that has to be split
    again, each text is taken once. Rows are written in the order of their hashes, so the same rows give the same files.

    Args:
        on_progress: told steps done, steps in all, and what is happening.

    Raises:
        DataError: when too many rows are unusable, or those left are too few.
    """
    steps = len(source.splits) + 2
    bad = BadRowLog(source.locate)
    kind, known = kind_of(settings), source.label_names()
    found: dict[str, Collected] = {}
    for step, split in enumerate(source.splits):
        on_progress(step, steps, f"reading {split}")

        def tell(rows: int, step: int = step, split: str = split) -> None:
            on_progress(step, steps, f"reading {split}: {rows:,} rows")

        found[split] = kind.collect(source.rows(split, bad), split, settings, bad, tell)
    read = bad.unusable + sum(len(split.table) for split in found.values())

    on_progress(steps - 2, steps, "splitting")
    splits, values = kind.number(found, settings, known, bad)
    bad.check(read, settings.max_bad_fraction)
    labels = kind.names(splits, values, settings, known)
    del found
    splits = three_splits(splits, labels, settings, seed, bad)

    on_progress(steps - 1, steps, "writing")
    for split, table in splits.items():
        _write(table, len(labels), folder / f"{split}.parquet")
    written = bool(settings.document_column or settings.conversations)
    shared = shared_text(splits["train"], splits["test"]) if written else None
    (folder / "labels.json").write_text(json.dumps(labels, ensure_ascii=False) + "\n", encoding="utf-8")
    on_progress(steps, steps, "")
    return Prepared(
        content_digest=content_digest(splits),
        labels=labels,
        target=kind.target,
        rows={split: len(table) for split, table in splits.items()},
        bad_rows=bad.contracts(),
        has_pairs=bool(settings.second_column),
        shared_text=shared,
    )


def shared_text(train: pa.Table, test: pa.Table) -> SharedText:
    """How much of the test documents' text stands in training; training is read some documents at a time."""
    batches = train.select(["text"]).to_batches(max_chunksize=ROW_GROUP)
    texts = (text for batch in batches for text in batch.column(0).to_pylist())
    seen, every = ngrams.shared_runs(texts, test["text"].to_pylist())
    return SharedText(
        length=ngrams.LENGTH,
        runs=int(every.sum()),
        seen_runs=int(seen.sum()),
        documents=len(test),
        seen_documents=int((seen > 0).sum()),
    )


def three_splits(
    splits: dict[str, pa.Table], labels: list[str], settings: DataSettings, seed: int, bad: BadRowLog
) -> dict[str, pa.Table]:
    """Clean splits out of those given, in the order of their rows' hashes.

    Args:
        splits: as `Kind.number` returns them.
        labels: names of the labels, or of the tags, by id.

    Raises:
        DataError: when a split, or the training rows of a label, would be empty.
    """
    splits = without_overlap({split: with_keys(table) for split, table in splits.items()}, bad)
    splits = {split: in_canonical_order(table, labels) for split, table in splits.items()}
    to_split_off = missing_splits(settings, splits)
    if to_split_off:
        train = without_duplicates(splits["train"], "train", bad)
        train, strata = stratified(with_groups(train), labels)
        splits |= split_off(train, to_split_off, strata, seed, settings.max_rows_per_label)
    elif settings.max_rows_per_label:
        splits["train"] = draw_per_label(stratified(splits["train"], labels)[0], settings.max_rows_per_label, seed)
    empty = [split for split in SPLITS if not len(splits[split])]
    if empty:
        seen = (
            "; ".join(
                f"{kind.count:,} {kind.kind}" + (f": {kind.detail}" if kind.detail else "") for kind in bad.contracts()
            )
            or "no row was left out"
        )
        raise DataError(f"no usable row is left in {', '.join(empty)} ({seen}): check the files and data.*_column")
    missing = unseen(splits["train"], labels)
    if missing:
        raise DataError(
            f"no training row of {', '.join(missing)} is left, as all their texts stand in a later split: "
            "remove those rows from validation and test, or the label"
        )
    return {split: splits[split] for split in SPLITS}


def _write(table: pa.Table, labels: int, path: Path) -> None:
    """Writes without anything that tells where or when, so that equal rows give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    schema, label = WRITTEN, np.full(len(table), -1, np.int32)
    if "tags" in table.column_names:
        schema = WRITTEN_TAGGED
    elif "number" in table.column_names:
        schema = WRITTEN_NUMBERS
    elif "messages" in table.column_names:
        schema, label = WRITTEN_CONVERSATIONS, np.zeros(len(table), np.int32)
    elif "starts" in table.column_names:
        schema, label = WRITTEN_QUESTIONS, np.array([not starts for starts in table["starts"].to_pylist()], np.int32)
    elif "labels" in table.column_names:
        schema, table = WRITTEN_SEVERAL, table.append_column("flags", _flags(table, labels))
    if schema is not WRITTEN:  # what they were split by is no label
        table = table.set_column(table.schema.get_field_index("label"), "label", pa.array(label))
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(table), ROW_GROUP):
            group = table.slice(start, ROW_GROUP).select(schema.names)
            writer.write_table(group.cast(schema).combine_chunks(), row_group_size=ROW_GROUP)


def _flags(table: pa.Table, labels: int) -> pa.Array:
    rows = table["labels"].to_pylist()
    flags = np.zeros((len(rows), labels), np.int8)
    for row, own in zip(flags, rows, strict=True):
        row[own] = 1
    ends = np.arange(0, flags.size + 1, labels, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(flags.ravel()))
