"""Three splits out of one, two or three that are given, with no text in two of them.

Where a row belongs follows from a hash of its own text and the seed. Whatever rows come later, it stays where it is: a
model is never judged on rows that an earlier one, trained on fewer rows, has learned from.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from hone.configs.data import DataSettings
from hone.tasks.data.rows import SPLITS, BadRowLog
from hone.tasks.errors import DataError
from hone.tasks.text_key import KEY_BYTES, SEPARATOR, text_key

BATCH_ROWS = 16_384
SHOWN = 5  # of the labels that are too rare


def with_keys(table: pa.Table) -> pa.Table:
    """The rows with `text_key` of each as column `key`."""
    keys: list[pa.Array] = []
    for batch in table.select(["text", "pair"]).to_batches(max_chunksize=BATCH_ROWS):
        texts, pairs = (column.to_pylist() for column in batch.columns)
        keys.append(pa.array(map(text_key, texts, pairs), pa.binary(KEY_BYTES)))
    return table.append_column("key", pa.chunked_array(keys, pa.binary(KEY_BYTES)))


def without_overlap(splits: dict[str, pa.Table], bad: BadRowLog) -> dict[str, pa.Table]:
    """Removes from training what stands in validation or test, and from validation what stands in test.

    The later split keeps the row, as a score on rows that were trained on says nothing.

    Args:
        splits: tables as `with_keys` returns them.
    """
    cleaned = {}
    for split, table in splits.items():
        later = [splits[other]["key"] for other in SPLITS[SPLITS.index(split) + 1 :] if other in splits]
        if later:
            elsewhere = pa.chunked_array([chunk for column in later for chunk in column.chunks], pa.binary(KEY_BYTES))
            found = compute.is_in(table["key"], value_set=elsewhere)
            bad.add_all("split_overlap", split, table.filter(found)["line"].to_pylist())
            cleaned[split] = table.filter(compute.invert(found))
        else:
            cleaned[split] = table
    return cleaned


def without_duplicates(table: pa.Table, split: str, bad: BadRowLog) -> pa.Table:
    """Keeps each text once, the first of its rows that has the label it has most often; of equally frequent ones, the
    lowest id. Here another case or punctuation makes another text, and other tags, another set of labels, another
    number or other answers are another label."""
    if not len(table):
        return table
    text = _exact(table).combine_chunks().dictionary_encode().indices.to_numpy()
    label = _answers(table)
    pairs, counts = np.unique(np.stack([text, label], axis=1), axis=0, return_counts=True)
    by_frequency = pairs[np.lexsort((pairs[:, 1], -counts, pairs[:, 0]))]
    first_of_text = np.unique(by_frequency[:, 0], return_index=True)[1]
    winner = by_frequency[first_of_text, 1]

    agrees = label == winner[text]
    indices = np.flatnonzero(agrees)
    kept = np.zeros(len(table), dtype=bool)
    kept[indices[np.unique(text[indices], return_index=True)[1]]] = True
    lines = table["line"].to_numpy()
    bad.add_all("duplicate_text", split, sorted(lines[agrees & ~kept].tolist()))
    bad.add_all("contradicting_label", split, sorted(lines[~agrees].tolist()))
    return table.filter(pa.array(kept))


def draw_per_label(table: pa.Table, rows: int, seed: int) -> pa.Table:
    """At most `rows` rows of each label, drawn by the seed; their order stays. Of more rows, those drawn are the same
    ones less those that new ones have taken the place of."""
    return table.filter(pa.array(_lowest(table["label"].to_numpy(), _chances(table, seed).draw, rows)))


def missing_splits(settings: DataSettings, given: Collection[str]) -> dict[str, float]:
    """Shares of those splits that have to be split off training."""
    shares = {"validation": settings.validation_fraction, "test": settings.test_fraction}
    return {name: share for name, share in shares.items() if name not in given}


def split_off(
    table: pa.Table, fractions: Mapping[str, float], labels: list[str], seed: int, most: int = 0
) -> dict[str, pa.Table]:
    """Splits rows off for each name in `fractions`; the rest is `train`. Their order stays.

    Each text has a number between 0 and 1, of its own hash and the seed: below the test's share it is in the test
    split, from one less the validation's share on in validation. So each label is split by these shares as closely as
    chance has it, other rows decide nothing, and a larger fraction only takes rows from training.

    A label of a handful of rows may have none in a split by that. Then the test split is lent the row with the lowest
    number, validation the one with the highest if that leaves another for training, and training is lent the lowest of
    validation. Rows that come later may send such a row back, but none ever from training to the test.

    Args:
        table: as `with_keys` returns it.
        fractions: shares of all rows of the table.
        most: at most this many rows of each label, in all splits together, each split by its share; 0: all.

    Raises:
        DataError: when a label has too few rows for training and test.
    """
    label = table["label"].to_numpy()
    check_counts(fractions, label, labels, most)
    chances = _chances(table, seed)
    masks = _masks(fractions, label, chances.split)
    _check_labels(masks, label, labels)
    if most:
        sizes = {name: max(1, round(share * most)) for name, share in fractions.items()}
        sizes["train"] = max(1, most - sum(sizes.values()))
        for name, mask in masks.items():
            mask[mask] = _lowest(label[mask], chances.draw[mask], sizes[name])
    return {name: table.filter(pa.array(mask)) for name, mask in masks.items()}


def check_counts(fractions: Mapping[str, float], label: NDArray[np.int32], labels: list[str], most: int = 0) -> None:
    """Refuses labels that are too rare to be split.

    Raises:
        DataError: when a label has fewer rows than there are splits.
    """
    needed = len(fractions) + 1
    counts = np.bincount(label, minlength=len(labels))
    rare = [f"{name} has {count}" for name, count in zip(labels, counts, strict=True) if count < needed]
    if rare:
        raise DataError(
            f"too few different texts of a label to split off {' and '.join(fractions)}: {_shown(rare)}, and each "
            f"label needs {needed}: add rows, remove the label, see that data.label_column is the one meant, or give "
            + ", ".join(f"data.{name}" for name in fractions)
        )
    if 0 < most < needed:
        raise DataError(
            f"data.max_rows_per_label is {most}, and to split off {' and '.join(fractions)} each label needs {needed} "
            f"rows: raise it, or give {', '.join(f'data.{name}' for name in fractions)}"
        )


def _check_labels(masks: Mapping[str, NDArray[np.bool_]], label: NDArray[np.int32], labels: list[str]) -> None:
    without = [
        f"{labels[index]} in {name}"
        for name, mask in masks.items()
        if name != "validation"
        for index in np.flatnonzero(np.bincount(label[mask], minlength=len(labels)) == 0)
    ]
    if without:
        others = " and ".join(name for name in masks if name != "train")
        raise DataError(
            f"too few different texts of a label to split off {others}: the hash of their content, which decides, "
            f"leaves no row of {_shown(without)}: add rows, remove the label, set another seed, or give "
            + ", ".join(f"data.{name}" for name in masks if name != "train")
        )


def _shown(problems: list[str]) -> str:
    return ", ".join(problems[:SHOWN]) + (f" and {len(problems) - SHOWN:,} more" if len(problems) > SHOWN else "")


@dataclass(frozen=True)
class _Chances:
    """Two independent numbers of each row [rows], which its text and the seed decide: in [0, 1) each."""

    split: NDArray[np.float64]
    draw: NDArray[np.float64]


def _chances(table: pa.Table, seed: int) -> _Chances:
    """Of their `group` instead, where rows that belong together have one."""
    salt = str(seed).encode()
    digests = b"".join(
        hashlib.blake2b(key, digest_size=16, key=salt).digest()
        for chunk in table["group" if "group" in table.column_names else "key"].chunks
        for key in chunk.to_pylist()
    )
    both = np.frombuffer(digests, dtype=">u8").reshape(-1, 2).astype(np.float64) / 2.0**64
    # The nearest float64 of a number just below 1 is 1.
    return _Chances(*np.minimum(both, np.nextafter(1.0, 0.0)).T)


def _masks(
    fractions: Mapping[str, float], label: NDArray[np.int32], draw: NDArray[np.float64]
) -> dict[str, NDArray[np.bool_]]:
    """Which rows [rows] are in train, and in each of `fractions`. Test takes from the low end and validation from the
    high one, so that with another share of one, no row changes to the other. Texts with the same key stay together, as
    they have the same number."""
    test = draw < fractions.get("test", 0.0)
    validation = draw >= 1 - fractions.get("validation", 0.0)
    for rows in _by_label(label):
        if "test" in fractions and not test[rows].any():
            test |= draw == draw[rows].min()
        others = draw[rows][~test[rows]]
        if "validation" in fractions and not validation[rows].any() and len(np.unique(others)) > 1:
            validation |= draw == others.max()
        if len(others) and validation[rows[~test[rows]]].all():
            validation &= draw != others.min()
    masks = {"train": ~(test | validation), "validation": validation & ~test, "test": test}
    return {name: mask for name, mask in masks.items() if name == "train" or name in fractions}


def _by_label(label: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    """Places of each label's rows."""
    order = np.argsort(label, kind="stable")
    return [rows for rows in np.split(order, np.flatnonzero(np.diff(label[order])) + 1) if len(rows)]


def _lowest(label: NDArray[np.int32], draw: NDArray[np.float64], rows: int) -> NDArray[np.bool_]:
    """The `rows` rows of each label whose number is lowest."""
    kept = np.zeros(len(label), dtype=bool)
    for indices in _by_label(label):
        kept[indices[np.argsort(draw[indices], kind="stable")[:rows]]] = True
    return kept


def _exact(table: pa.Table) -> pa.ChunkedArray:
    """What makes two rows the very same text."""
    if table["pair"].null_count == len(table):
        return table["text"]
    return compute.binary_join_element_wise(table["text"], table["pair"], pa.scalar(SEPARATOR, pa.large_string()))


def _answers(table: pa.Table) -> NDArray[np.int64]:
    """What rows of one text may contradict each other in [rows]: their label, all of several, their number, all their
    tags, or all their answers."""
    held = [name for name in ("tags", "labels", "number", "starts", "ends") if name in table.column_names]
    if not held:
        return table["label"].to_numpy().astype(np.int64)
    columns = [table[name].to_pylist() for name in held]
    ids: dict[str, int] = {}
    return np.array([ids.setdefault(repr(value), len(ids)) for value in zip(*columns, strict=True)], np.int64)
