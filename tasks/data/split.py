"""Three splits out of one, two or three that are given, with no text in two of them."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from configs.data import DataSettings
from tasks.data.digest import SEPARATOR
from tasks.data.rows import SPLITS, BadRowLog
from tasks.errors import DataError


def without_overlap(splits: dict[str, pa.Table], bad: BadRowLog) -> dict[str, pa.Table]:
    """Removes from training what stands in validation or test, and from validation what stands in test.

    The later split keeps the row, as a score on rows that were trained on says nothing. Of pairs, both texts count
    together: a premise with another hypothesis is another text.
    """
    keys = {split: _keys(table) for split, table in splits.items()}
    cleaned = {}
    for split, table in splits.items():
        later = [keys[other] for other in SPLITS[SPLITS.index(split) + 1 :] if other in keys]
        if later:
            elsewhere = pa.chunked_array([chunk for column in later for chunk in column.chunks], pa.large_string())
            found = compute.is_in(keys[split], value_set=elsewhere)
            bad.add_all("split_overlap", split, table.filter(found)["line"].to_pylist())
            cleaned[split] = table.filter(compute.invert(found))
        else:
            cleaned[split] = table
    return cleaned


def without_duplicates(table: pa.Table, split: str, bad: BadRowLog) -> pa.Table:
    """Keeps each text once, under the label it has most often; of equally frequent ones, under the lowest id."""
    if not len(table):
        return table
    text = _keys(table).combine_chunks().dictionary_encode().indices.to_numpy()
    label = table["label"].to_numpy()
    pairs, counts = np.unique(np.stack([text, label], axis=1), axis=0, return_counts=True)
    by_frequency = pairs[np.lexsort((pairs[:, 1], -counts, pairs[:, 0]))]
    first_of_text = np.unique(by_frequency[:, 0], return_index=True)[1]
    winner = by_frequency[first_of_text, 1]

    agrees = label == winner[text]
    places = np.flatnonzero(agrees)
    kept = np.zeros(len(table), dtype=bool)
    kept[places[np.unique(text[places], return_index=True)[1]]] = True
    lines = table["line"].to_numpy()
    bad.add_all("duplicate_text", split, lines[agrees & ~kept].tolist())
    bad.add_all("contradicting_label", split, lines[~agrees].tolist())
    return table.filter(pa.array(kept))


def draw_per_label(table: pa.Table, rows: int, seed: int) -> pa.Table:
    """At most `rows` rows of each label, drawn without replacement; their order stays."""
    label = table["label"].to_numpy()
    shuffled = np.random.default_rng(seed).permutation(len(table))
    drawn = [shuffled[label[shuffled] == value][:rows] for value in np.unique(label)]
    return table.take(np.sort(np.concatenate(drawn))) if drawn else table


def missing_splits(settings: DataSettings, given: Collection[str]) -> dict[str, float]:
    """Shares of those splits that have to be split off training."""
    shares = {"validation": settings.validation_fraction, "test": settings.test_fraction}
    return {name: share for name, share in shares.items() if name not in given}


def split_off(table: pa.Table, fractions: dict[str, float], labels: list[str], seed: int) -> dict[str, pa.Table]:
    """Splits rows off for each name in `fractions`, stratified by label; the rest is `train`. Their order stays.

    Args:
        fractions: shares of all rows of the table.

    Raises:
        DataError: when a label has too few rows to stand in each split, or a split would be smaller than the labels.
    """
    from sklearn.model_selection import train_test_split

    label = table["label"].to_numpy()
    sizes = check_sizes(fractions, label, labels)
    rest: NDArray[np.int64] = np.arange(len(table))
    splits = {}
    for name, size in sizes.items():
        rest, taken = train_test_split(rest, test_size=size, stratify=label[rest], random_state=seed)
        splits[name] = table.take(np.sort(taken))
    return {"train": table.take(np.sort(rest))} | splits


SHOWN = 5  # of the labels that are too rare


def check_sizes(fractions: dict[str, float], label: NDArray[np.int32], labels: list[str]) -> dict[str, int]:
    """Rows of each split that is to be split off.

    Raises:
        DataError: when a label has too few rows to stand in each split, or a split would be smaller than the labels.
    """
    sizes = {name: round(fraction * len(label)) for name, fraction in fractions.items()}
    counts = np.bincount(label, minlength=len(labels))
    needed = len(sizes) + 1
    rare = [f"{name} has {count}" for name, count in zip(labels, counts, strict=True) if count < needed]
    wanted = ", ".join(f"data.{name}" for name in sizes)
    shown = ", ".join(rare[:SHOWN]) + (f" and {len(rare) - SHOWN:,} more" if len(rare) > SHOWN else "")
    if rare:
        raise DataError(
            f"too few different texts of a label to split off {' and '.join(sizes)}: {shown}, and each label needs "
            f"{needed}: add rows, remove the label, see that data.label_column is the one meant, or give {wanted}"
        )
    small = {
        name: size for name, size in (sizes | {"train": len(label) - sum(sizes.values())}).items() if size < len(labels)
    }
    if small:
        shown = ", ".join(f"{name} would have {size}" for name, size in small.items())
        raise DataError(
            f"{len(label)} different texts are too few to split: {shown} rows, and each split needs one for each "
            f"of the {len(labels)} labels: add rows, raise the fractions "
            f"({', '.join(f'data.{name}_fraction' for name in sizes)}), or give {wanted}"
        )
    return sizes


def _keys(table: pa.Table) -> pa.ChunkedArray:
    """What makes two rows the same text."""
    if table["pair"].null_count == len(table):
        return table["text"]
    return compute.binary_join_element_wise(table["text"], table["pair"], pa.scalar(SEPARATOR, pa.large_string()))
