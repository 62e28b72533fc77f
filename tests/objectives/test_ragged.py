"""Rows of several items are indexed, compared and kept as rows of one item are."""

from pathlib import Path

import numpy as np
import pytest

from hone.tasks import evidence
from hone.tasks.objectives.ragged import Ragged, distances, row_means

SENTENCES = [[1, 2, 3], [], [4], [5, 6]]
ROWS = Ragged.of([np.array(row, np.int64) for row in SENTENCES], np.zeros(0, np.int64))


def test_rows_are_picked_by_place_mask_and_slice() -> None:
    assert len(ROWS) == 4
    assert [row.tolist() for row in ROWS] == SENTENCES
    assert [row.tolist() for row in ROWS[[3, 0, 3]]] == [[5, 6], [1, 2, 3], [5, 6]]
    assert [row.tolist() for row in ROWS[np.array([False, True, True, False])]] == [[], [4]]
    assert [row.tolist() for row in ROWS[1:]] == SENTENCES[1:]
    assert len(ROWS[[]]) == 0


def test_the_mean_of_a_row_is_that_of_its_items_and_0_without_any() -> None:
    assert row_means(ROWS).tolist() == [2.0, 0.0, 4.0, 5.5]
    both = Ragged(np.stack([ROWS.values, -ROWS.values], axis=1), ROWS.offsets)
    assert row_means(both).tolist() == [[2.0, -2.0], [0.0, 0.0], [4.0, -4.0], [5.5, -5.5]]
    assert row_means(np.array([[1, 2]], np.float32)).tolist() == [[1.0, 2.0]]


def test_a_row_without_items_is_no_distance_away() -> None:
    other = Ragged(ROWS.values + np.array([0, 0, 2, 0, 0, 1]), ROWS.offsets)
    assert distances(ROWS, other).tolist() == [2, 0, 0, 1]
    assert distances(ROWS, ROWS[::-1]) is None
    assert distances(np.ones((2, 3)), np.array([[1, 1, np.nan], [1, 0.5, 1]])).tolist() == [np.inf, 0.5]


def test_evidence_of_sentences_is_read_back_as_it_was_and_that_of_texts_stays_an_array(tmp_path: Path) -> None:
    logits = Ragged(np.arange(12, dtype=np.float32).reshape(6, 2), ROWS.offsets)
    evidence.save(tmp_path / "words", ROWS, {"a": logits, "b": logits}, {})
    found, labels = evidence.read_logits(tmp_path / "words", "b"), evidence.read_labels(tmp_path / "words")
    assert isinstance(found, Ragged)
    assert np.array_equal(found.values, logits.values)
    assert [row.tolist() for row in labels] == SENTENCES
    evidence.save(tmp_path / "texts", np.array([1, 0]), {"a": np.eye(2, dtype=np.float32)}, {})
    assert isinstance(evidence.read_labels(tmp_path / "texts"), np.ndarray)
    with pytest.raises(ValueError, match="c answers sentences of other words than"):
        evidence.save_logits(tmp_path / "words", {"c": logits[1:]})
