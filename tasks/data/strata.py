"""What rows are split by, so that each label, or type of entity, is in every split, and what stays together."""

from collections import Counter

import numpy as np
import pyarrow as pa

from hone.tasks.objectives.token_classification.tags import split_tag, type_names
from hone.tasks.text_key import KEY_BYTES, text_key

NOTHING = {"tags": "no entity", "labels": "no label"}
"""Names of what rows without any are split by, by the column that holds what they have."""
LEAST_WITHOUT = 3
"""Rows without any that can be split three ways; fewer go with the most frequent one's."""
NUMBERS = "a number"


def stratified(table: pa.Table, labels: list[str]) -> tuple[pa.Table, list[str]]:
    """The rows with what they are split by as `label`, and its names: their label; where they have several, the rarest,
    by the rows that have it and then by name, or that they have none; of sentences likewise their rarest type of
    entity; of questions, whether they have an answer, as far as there are both kinds. Numbers are all one: each row's
    split follows from its own text, and bounds between numbers would move as rows come.

    Args:
        labels: names of the labels, or of the tags, by id.
    """
    if "number" in table.column_names:
        return _with_label(table, np.zeros(len(table), np.int32)), [NUMBERS]
    if "starts" in table.column_names:
        there, column = np.unique(table["label"].to_numpy(), return_inverse=True)
        return _with_label(table, column.astype(np.int32)), [labels[kind] for kind in there]
    several = _several(table, labels)
    if several is None:
        return table, labels
    kind, rows = several
    counts = Counter(name for names in rows for name in names)
    few = 0 < sum(not names for names in rows) < LEAST_WITHOUT and counts
    without = counts.most_common(1)[0][0] if few else NOTHING[kind]
    rarest = [min(names, key=lambda name: (counts[name], name), default=without) for names in rows]
    strata = sorted(set(rarest))
    indices = {stratum: index for index, stratum in enumerate(strata)}
    return _with_label(table, np.array([indices[stratum] for stratum in rarest], np.int32)), strata


def unseen(train: pa.Table, labels: list[str]) -> list[str]:
    """Labels, or types of entities, that no row of training has; of questions none, as all of them may have answers."""
    if "number" in train.column_names or "starts" in train.column_names:
        return []
    several = _several(train, labels)
    if several is None:
        there = set(train["label"].unique().to_pylist())
        return [name for index, name in enumerate(labels) if index not in there]
    kind, rows = several
    return sorted(set(type_names(labels) if kind == "tags" else labels) - set().union(*rows))


def with_groups(table: pa.Table) -> pa.Table:
    """Questions with their context's key as column `group`: all that are asked about a context are in one split, as a
    model that has learned from one of them knows the context. Other rows stay as they are."""
    if "starts" not in table.column_names:
        return table
    keys = [text_key(context) for context in table["pair"].to_pylist()]
    return table.append_column("group", pa.chunked_array([pa.array(keys, pa.binary(KEY_BYTES))]))


def _several(table: pa.Table, labels: list[str]) -> tuple[str, list[set[str]]] | None:
    """Where rows may have several, the column, and the labels, or types of entities, of each row."""
    if "tags" in table.column_names:
        types = [split_tag(tag)[1] for tag in labels]
        return "tags", [{types[tag] for tag in tags} - {""} for tags in table["tags"].to_pylist()]
    if "labels" in table.column_names:
        return "labels", [{labels[label] for label in own} for own in table["labels"].to_pylist()]
    return None


def _with_label(table: pa.Table, label: np.ndarray) -> pa.Table:
    return table.set_column(table.schema.get_field_index("label"), "label", pa.array(label))
