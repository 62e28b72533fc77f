"""Which rows become golden requests, and what is written down about them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from hone.tasks.errors import MeasurementError
from hone.tasks.model.text import Rows
from hone.tasks.probe.golden import choose_rows, read_golden, write_golden
from tests.register.conftest import LABELS, PAIRS, TEXTS


@given(length=st.integers(1, 300), count=st.integers(1, 300))
def test_rows_are_distinct_spread_evenly_and_reach_both_ends(length: int, count: int) -> None:
    places = choose_rows([5] * length, [20] * length, 8, count)
    assert len(places) == min(length, count)
    assert places[0] == 0
    if count > 1:
        assert places[-1] == length - 1
        steps = np.diff(places)
        assert length == 1 or (steps.min() >= 1 and steps.max() - steps.min() <= 1)


@given(
    lengths=st.lists(st.integers(1, 8), min_size=1, max_size=200),
    count=st.integers(1, 200),
    seed=st.integers(0, 9),
)
def test_a_quarter_are_the_longest_of_the_texts_that_are_cut(lengths: list[int], count: int, seed: int) -> None:
    characters = np.random.default_rng(seed).permutation(len(lengths)).tolist()
    places = choose_rows(lengths, characters, 8, count)
    assert len(places) == len(set(places)) == min(len(lengths), count)
    assert places == sorted(places)
    cut = sorted((place for place in range(len(lengths)) if lengths[place] == 8), key=lambda place: -characters[place])
    if len(places) > 1:
        assert set(cut[: -(-len(places) // 4)]) <= set(places)


def test_the_expected_answers_are_the_evaluations_own(golden: Callable[..., Path], model_folder: Path) -> None:
    found = read_golden(golden())
    assert found.labels == LABELS
    assert found.rows == [TEXTS[place] for place in (0, 2, 4, 5, 7)]
    tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
    session = onnxruntime.InferenceSession(model_folder / "model.onnx", providers=["CPUExecutionProvider"])
    for text, expected in zip(found.rows, found.probabilities, strict=True):
        row = tokenizer.encode(text)
        feed = {"input_ids": row.ids, "attention_mask": row.attention_mask, "token_type_ids": row.type_ids}
        logits = session.run(["logits"], {name: np.array([values]) for name, values in feed.items()})[0][0]
        assert expected == pytest.approx(np.exp(logits) / np.exp(logits).sum(), abs=1e-6)


def test_pairs_are_read_back_as_they_are_served(golden: Callable[..., Path]) -> None:
    found = read_golden(golden(pairs=True))
    assert found.rows == [{"text": TEXTS[place], "text_pair": PAIRS[place]} for place in (0, 2, 4, 5, 7)]


def test_a_model_that_answers_with_nan_has_no_golden_requests(tmp_path: Path) -> None:
    rows = Rows(["fine", "not"], None, np.zeros(2, np.int64))
    logits = np.array([[0.0, 1.0], [np.nan, 1.0]], np.float32)
    with pytest.raises(MeasurementError, match="answers golden request 1 with nan, so there is nothing to ship"):
        write_golden(tmp_path / "golden.json", rows, logits, ["a", "b"], "text-classification")
