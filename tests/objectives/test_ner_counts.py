"""Entity F1 from statistics per sentence, as seqeval's strict mode counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hone.tasks.objectives.token_classification.counts import (
    entity_counts,
    f1_by_type,
    macro_f1,
    micro_f1,
    precision,
    precision_by_type,
    recall,
    recall_by_type,
)

TYPES = ["a", "b", "c"]
PAIRS = st.lists(
    st.lists(st.tuples(*[st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b"])] * 2), min_size=1, max_size=7),
    min_size=1,
    max_size=6,
)


def test_counts_worked_by_hand() -> None:
    true = [["B-a", "I-a", "O", "B-b"], ["O", "B-a"], ["O"]]
    predicted = [["B-a", "O", "O", "B-b"], ["B-a", "B-a"], ["I-b"]]
    counts = entity_counts(true, predicted, TYPES)
    assert counts.tolist() == [
        [1, 1, 0, 1, 1, 0, 0, 1, 0],  # a found too short, b right
        [1, 0, 0, 2, 0, 0, 1, 0, 0],
        [0] * 9,  # a stray I- is no entity
    ]
    sums = counts.sum(0)
    assert precision(sums) == pytest.approx(2 / 4)
    assert recall(sums) == pytest.approx(2 / 3)
    assert micro_f1(sums) == pytest.approx(4 / 7)
    assert precision_by_type(sums) == pytest.approx([1 / 3, 1, 0])
    assert recall_by_type(sums) == pytest.approx([1 / 2, 1, 0])
    assert f1_by_type(sums) == pytest.approx([2 / 5, 1, 0])
    assert macro_f1(sums) == pytest.approx((2 / 5 + 1) / 2)  # c occurs on neither side


@settings(deadline=None)
@given(PAIRS)
def test_perfect_answers_score_one_and_swapping_sides_swaps_precision_and_recall(pairs: list) -> None:
    true, predicted = ([[pair[side] for pair in sentence] for sentence in pairs] for side in (0, 1))
    counts, swapped = entity_counts(true, predicted, TYPES).sum(0), entity_counts(predicted, true, TYPES).sum(0)
    assert precision(counts) == recall(swapped)
    assert micro_f1(counts) == micro_f1(swapped)
    perfect = entity_counts(true, true, TYPES).sum(0)
    assert micro_f1(perfect) == (1 if perfect.any() else 0)
    assert (
        min(precision(counts), recall(counts)) - 1e-12
        <= micro_f1(counts)
        <= max(precision(counts), recall(counts)) + 1e-12
    )


def test_metrics_take_many_draws_of_weights_at_once() -> None:
    counts = entity_counts([["B-a"], ["B-b"]], [["B-a"], ["O"]], TYPES)
    weights = np.array([[1, 1], [2, 0], [0, 2], [0, 0]])
    assert micro_f1(weights @ counts) == pytest.approx([2 / 3, 1, 0, 0])
    assert macro_f1(weights @ counts) == pytest.approx([1 / 2, 1, 0, 0])
    assert f1_by_type(weights @ counts).shape == (4, 3)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="sentence 0 has 2 words and 1 predicted tags"):
        entity_counts([["O", "O"]], [["O"]], TYPES)
    with pytest.raises(ValueError, match=r"type 'z', not among \['a', 'b', 'c'\]"):
        entity_counts([["O"]], [["B-z"]], TYPES)
