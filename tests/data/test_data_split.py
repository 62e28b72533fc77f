"""Splitting: by a hash of the text, stratified, and no text in two splits."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from hone.tasks.data.clean import SCHEMA
from hone.tasks.data.rows import BadRowLog
from hone.tasks.data.split import draw_per_label, split_off, with_keys, without_duplicates, without_overlap
from hone.tasks.errors import DataError


def table(texts: list[str], labels: list[int], pairs: list[str | None] | None = None) -> pa.Table:
    lines = list(range(1, len(texts) + 1))
    return with_keys(pa.table([texts, pairs or [None] * len(texts), labels, lines, [[]] * len(texts)], schema=SCHEMA))


def splits_of(splits: dict[str, pa.Table]) -> dict[str, str]:
    """The split of each text."""
    return {text: name for name, rows in splits.items() for text in rows["text"].to_pylist()}


FRACTIONS = {"validation": 0.1, "test": 0.15}


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


def test_splits_are_disjoint_and_complete_and_stratified_as_closely_as_chance_has_it() -> None:
    rows = table([f"t{place}" for place in range(10_000)], [0] * 7000 + [1] * 2000 + [2] * 1000)
    splits = split_off(rows, FRACTIONS, ["a", "b", "c"], seed=1)
    texts = [text for split in splits.values() for text in split["text"].to_pylist()]
    assert sorted(texts) == sorted(rows["text"].to_pylist())
    for name, share in {"train": 0.75, **FRACTIONS}.items():
        counts = Counter(splits[name]["label"].to_pylist())
        for label, size in enumerate((7000, 2000, 1000)):
            assert abs(counts[label] - share * size) < 3.5 * (share * (1 - share) * size) ** 0.5


def test_a_text_keeps_its_split_whatever_rows_come_later() -> None:
    texts = [f"t{place}" for place in range(3000)]
    labels = np.random.default_rng(0).choice(4, len(texts), p=[0.6, 0.3, 0.09, 0.01]).tolist()
    labels[:12] = [0, 1, 2, 3] * 3
    known: dict[str, str] = {}
    for size in (40, 400, 1500, 3000):
        found = splits_of(split_off(table(texts[:size], labels[:size]), FRACTIONS, list("abcd"), seed=2))
        moved = {(known[text], found[text]) for text in known if known[text] != found[text]}
        assert moved <= {("test", "train"), ("validation", "train")}  # rows lent by a label of a handful
        known = found
    assert found == splits_of(split_off(table(texts[::-1], labels[::-1]), FRACTIONS, list("abcd"), seed=2))


def test_a_larger_fraction_only_takes_rows_from_training() -> None:
    rows = table([f"t{place}" for place in range(1000)], [0, 1] * 500)
    before, after = (
        splits_of(split_off(rows, {"validation": share, "test": share}, ["a", "b"], seed=0)) for share in (0.1, 0.2)
    )
    assert {(before[text], after[text]) for text in before if before[text] != after[text]} == {
        ("train", "validation"),
        ("train", "test"),
    }


def test_the_seed_decides_the_split() -> None:
    rows = table([f"t{place}" for place in range(200)], [0, 1] * 100)
    first, again, other = (split_off(rows, {"test": 0.2}, ["a", "b"], seed) for seed in (5, 5, 6))
    assert first["test"].equals(again["test"])
    assert not first["test"].equals(other["test"])


def test_texts_that_differ_in_case_punctuation_or_blanks_land_in_one_split() -> None:
    forms = ("Number {}, please!", "number {} please", "NUMBER {}  PLEASE", "num ber {} — please…")
    rows = table([form.format(place) for place in range(200) for form in forms], [0, 1] * 400)
    found = splits_of(split_off(rows, FRACTIONS, ["a", "b"], seed=0))
    for place in range(200):
        assert len({found[form.format(place)] for form in forms}) == 1
    assert set(found.values()) == {"train", "validation", "test"}


def test_they_are_found_as_overlap_between_splits_that_are_given() -> None:
    bad = log()
    cleaned = without_overlap(
        {
            "train": table(["It is GOOD.", "it is bad", "?!", "…"], [0, 1, 0, 1]),
            "test": table(["it is good", "?!"], [0, 0]),
        },
        bad,
    )
    assert cleaned["train"]["text"].to_pylist() == ["it is bad", "…"]  # of nothing but punctuation, each is its own
    assert [kind.lines for kind in bad.contracts()] == [["train:1", "train:3"]]


@pytest.mark.parametrize("rare", [3, 4, 5])
def test_a_rare_label_stands_in_training_and_test_whatever_its_hashes(rare: int) -> None:
    rows = table([f"t{place}" for place in range(100 + rare)], [0] * 50 + [1] * 50 + [2] * rare)
    for seed in range(60):
        splits = split_off(rows, FRACTIONS, ["a", "b", "c"], seed=seed)
        assert 2 in splits["train"]["label"].to_pylist()
        assert 2 in splits["test"]["label"].to_pylist()


def test_a_label_that_the_hash_puts_into_the_test_split_whole_is_named() -> None:
    texts = [f"t{place}" for place in range(400)]
    found = splits_of(split_off(table(texts, [0, 1] * 200), FRACTIONS, ["a", "b"], seed=0))
    moved = {text for text in texts if found[text] == "test" and int(text[1:]) < 60}
    rows = table(texts, [2 if text in moved else place % 2 for place, text in enumerate(texts)])
    assert len(moved) > 3
    with pytest.raises(DataError, match=r"which decides, leaves no row of c in train: add rows, .* another seed"):
        split_off(rows, FRACTIONS, ["a", "b", "c"], seed=0)


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


def test_at_most_so_many_rows_of_each_label_are_drawn_by_the_seed() -> None:
    rows = table([f"t{place}" for place in range(110)], [0] * 100 + [1] * 10)
    drawn, again, other = (draw_per_label(rows, 20, seed) for seed in (0, 0, 1))
    assert Counter(drawn["label"].to_pylist()) == {0: 20, 1: 10}
    assert drawn["line"].to_pylist() == sorted(drawn["line"].to_pylist())
    assert drawn.equals(again)
    assert not drawn.equals(other)


def test_drawn_rows_keep_their_split_too_and_are_drawn_by_its_share() -> None:
    texts = [f"t{place}" for place in range(4000)]
    known: dict[str, str] = {}
    for size in (1000, 2000, 4000):
        splits = split_off(table(texts[:size], [0, 1] * (size // 2)), FRACTIONS, ["a", "b"], seed=3, most=200)
        assert {name: len(split) for name, split in splits.items()} == {"train": 300, "validation": 40, "test": 60}
        found = splits_of(splits)
        assert all(found[text] == known[text] for text in known.keys() & found.keys())
        assert known.keys() & found.keys() or not known
        known = found


def test_fewer_drawn_rows_than_splits_are_refused() -> None:
    rows = table([f"t{place}" for place in range(100)], [0, 1] * 50)
    with pytest.raises(DataError, match=r"max_rows_per_label is 2, and .* each label needs 3 rows: raise it"):
        split_off(rows, FRACTIONS, ["a", "b"], seed=0, most=2)
