"""Splitting: stratified, seeded, and no text in two splits."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from tasks.data.clean import SCHEMA
from tasks.data.rows import BadRowLog
from tasks.data.split import draw_per_label, split_off, without_duplicates, without_overlap
from tasks.errors import DataError


def table(texts: list[str], labels: list[int], pairs: list[str | None] | None = None) -> pa.Table:
    lines = list(range(1, len(texts) + 1))
    return pa.table([texts, pairs or [None] * len(texts), labels, lines, [[]] * len(texts)], schema=SCHEMA)


def log() -> BadRowLog:
    return BadRowLog(lambda split, line: f"{split}:{line}")


def test_text_in_two_splits_stays_in_the_later_one_alone() -> None:
    bad = log()
    cleaned = without_overlap(
        {
            "train": table(["a", "b", "c", "d", "b"], [0, 1, 0, 1, 0]),
            "validation": table(["b", "x", "c"], [1, 0, 0]),
            "test": table(["c", "y"], [0, 1]),
        },
        bad,
    )
    assert {split: rows["text"].to_pylist() for split, rows in cleaned.items()} == {
        "train": ["a", "d"],
        "validation": ["b", "x"],
        "test": ["c", "y"],
    }
    (kind,) = bad.contracts()
    assert (kind.kind, kind.count) == ("split_overlap", 4)
    assert kind.lines == ["train:2", "train:3", "train:5", "validation:3"]


def test_a_pair_overlaps_only_with_both_texts() -> None:
    bad = log()
    cleaned = without_overlap(
        {"train": table(["p", "p"], [0, 1], ["h1", "h2"]), "test": table(["p", "h1"], [0, 1], ["h2", "p"])}, bad
    )
    assert cleaned["train"]["pair"].to_pylist() == ["h1"]


def test_joined_texts_are_not_taken_for_a_pair() -> None:
    cleaned = without_overlap({"train": table(["a b"], [0], ["c"]), "test": table(["a"], [0], ["b c"])}, log())
    assert len(cleaned["train"]) == 1


def test_a_text_is_kept_once_under_its_most_frequent_label() -> None:
    bad = log()
    kept = without_duplicates(table(["a", "b", "a", "a", "c", "c"], [1, 0, 0, 1, 1, 0]), "train", bad)
    assert kept.select(["text", "label", "line"]).to_pydict() == {
        "text": ["a", "b", "c"],
        "label": [1, 0, 0],
        "line": [1, 2, 6],
    }
    assert {kind.kind: kind.lines for kind in bad.contracts()} == {
        "duplicate_text": ["train:4"],
        "contradicting_label": ["train:3", "train:5"],
    }


def test_duplicates_of_random_rows_agree_with_counting_them() -> None:
    draw = np.random.default_rng(3)
    texts = [f"t{number}" for number in draw.integers(0, 60, 500)]
    labels = draw.integers(0, 4, 500).tolist()
    kept = without_duplicates(table(texts, labels), "train", log())
    expected = {}
    for text in set(texts):
        counts = Counter(label for other, label in zip(texts, labels, strict=True) if other == text)
        expected[text] = min(counts, key=lambda label: (-counts[label], label))
    assert dict(zip(kept["text"].to_pylist(), kept["label"].to_pylist(), strict=True)) == expected
    assert len(kept) == len(expected)


def test_splits_are_stratified_disjoint_and_complete() -> None:
    rows = table([f"t{place}" for place in range(1000)], [0] * 700 + [1] * 200 + [2] * 100)
    splits = split_off(rows, {"validation": 0.1, "test": 0.15}, ["a", "b", "c"], seed=1)
    assert {name: Counter(split["label"].to_pylist()) for name, split in splits.items()} == {
        "train": {0: 525, 1: 150, 2: 75},
        "validation": {0: 70, 1: 20, 2: 10},
        "test": {0: 105, 1: 30, 2: 15},
    }
    texts = [text for split in splits.values() for text in split["text"].to_pylist()]
    assert sorted(texts) == sorted(rows["text"].to_pylist())


def test_the_seed_decides_the_split() -> None:
    rows = table([f"t{place}" for place in range(200)], [0, 1] * 100)
    first, again, other = (split_off(rows, {"test": 0.2}, ["a", "b"], seed) for seed in (5, 5, 6))
    assert first["test"].equals(again["test"])
    assert not first["test"].equals(other["test"])


def test_every_label_stays_in_training_however_rare() -> None:
    for rare in (3, 4, 5):
        rows = table([f"t{place}" for place in range(300 + rare)], [0] * 150 + [1] * 150 + [2] * rare)
        splits = split_off(rows, {"validation": 0.1, "test": 0.15}, ["a", "b", "c"], seed=0)
        assert 2 in splits["train"]["label"].to_pylist()


def test_a_label_too_rare_to_split_is_named() -> None:
    rows = table([f"t{place}" for place in range(102)], [0] * 50 + [1] * 50 + [2] * 2)
    with pytest.raises(
        DataError, match=r"to split off validation and test: c has 2, and each label needs 3: .* data.test"
    ):
        split_off(rows, {"validation": 0.1, "test": 0.15}, ["a", "b", "c"], seed=0)


def test_of_many_labels_that_are_too_rare_a_few_are_named() -> None:
    rows = table([f"t{place}" for place in range(300)], list(range(300)))
    with pytest.raises(
        DataError, match=r"l4 has 1 and 295 more, .* see that data\.label_column is the one meant"
    ) as told:
        split_off(rows, {"validation": 0.1, "test": 0.15}, [f"l{place}" for place in range(300)], seed=0)
    assert len(str(told.value)) < 400


def test_a_split_smaller_than_the_labels_is_named() -> None:
    rows = table([f"t{place}" for place in range(12)], [0, 1, 2] * 4)
    with pytest.raises(
        DataError, match=r"12 different texts .* validation would have 1, test would have 2 rows, .* 3 labels"
    ):
        split_off(rows, {"validation": 0.1, "test": 0.15}, ["a", "b", "c"], seed=0)


def test_at_most_so_many_rows_of_each_label_are_drawn_by_the_seed() -> None:
    rows = table([f"t{place}" for place in range(110)], [0] * 100 + [1] * 10)
    drawn, again, other = (draw_per_label(rows, 20, seed) for seed in (0, 0, 1))
    assert Counter(drawn["label"].to_pylist()) == {0: 20, 1: 10}
    assert drawn["line"].to_pylist() == sorted(drawn["line"].to_pylist())
    assert drawn.equals(again)
    assert not drawn.equals(other)
