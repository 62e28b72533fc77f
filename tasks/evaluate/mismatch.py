"""What differs between two forms of a model before any number is computed: how they read text and name labels."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hone.tasks.model.runtime.predict import EncodedSplit


def reading_difference(
    name: str, one: EncodedSplit, other_name: str, other: EncodedSplit, show_tokens: bool = True
) -> str:
    """The first row that the two tokenizers read differently, in words; empty where they read all alike."""
    if not show_tokens:
        one, other = (replace(reading, token=lambda _id: "…") for reading in (one, other))
    if one.pad_id != other.pad_id:
        ours, theirs = _token(one, one.pad_id), _token(other, other.pad_id)
        return f"the padding token is {ours} in {name} and {theirs} in {other_name}"
    for row in range(len(one.text)):
        ids, others = _ids(one, row), _ids(other, row)
        if np.array_equal(ids, others):
            continue
        short = min(len(ids), len(others))
        apart = np.flatnonzero(ids[:short] != others[:short])
        index = int(apart[0]) if len(apart) else short
        return (
            f"row {row} of the test split, token {index} (both from 0) is {_token(one, *ids[index : index + 1])} in "
            f"{name} and {_token(other, *others[index : index + 1])} in {other_name}"
        )
    return _type_difference(name, one.text.type_ids, other_name, other.text.type_ids)


def naming_difference(name: str, folder: Path, labels: Sequence[str]) -> str:
    """The first label that a folder's config.json names other than the data, in words; empty where it names none so."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    named = {int(index): str(word) for index, word in config.get("id2label", {}).items()}
    if sorted(named) != list(range(len(labels))):
        return f"config.json of {name} names {len(named)} labels, and the data has {len(labels)}"
    wrong = [index for index, word in enumerate(labels) if named[index] != word]
    if not wrong:
        return ""
    return f"label {wrong[0]} is '{named[wrong[0]]}' in config.json of {name} and '{labels[wrong[0]]}' in the data"


def _type_difference(name: str, types: np.ndarray | None, other_name: str, others: np.ndarray | None) -> str:
    """The same of token types, which make a pair of texts out of their tokens."""
    if (types is None) != (others is None):
        return f"only {name if others is None else other_name} of {name} and {other_name} reads token types"
    if types is None or others is None or np.array_equal(types, others):
        return ""
    return f"{name} and {other_name} give the same tokens other types"


def _ids(reading: EncodedSplit, row: int) -> np.ndarray:
    return reading.text.ids[reading.text.offsets[row] : reading.text.offsets[row + 1]]


def _token(reading: EncodedSplit, *ids: int) -> str:
    """A token and its id; `nothing` where the row has ended."""
    return f"'{reading.token(int(ids[0]))}' ({ids[0]})" if ids else "nothing"
