"""Which rows become golden requests, and what is written down about them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from tokenizers import Tokenizer

from tasks.errors import MeasurementError
from tasks.model.text import Rows
from tasks.probe.golden import choose_rows, read_golden
from tests.register.conftest import LABELS, PAIRS, TEXTS


def rows(count: int, pairs: bool = False) -> Rows:
    texts = [str(place) for place in range(count)]
    return Rows(texts, [f"{text}!" for text in texts] if pairs else None, np.zeros(count, np.int64))


@given(length=st.integers(1, 300), count=st.integers(1, 300))
def test_rows_are_distinct_spread_evenly_and_reach_both_ends(length: int, count: int) -> None:
    places = [int(row) for row in choose_rows(rows(length), count)]
    assert len(places) == min(length, count)
    assert places[0] == 0
    if count > 1:
        assert places[-1] == length - 1
        steps = np.diff(places)
        assert length == 1 or (steps.min() >= 1 and steps.max() - steps.min() <= 1)


def test_pairs_stay_together() -> None:
    assert choose_rows(rows(3, pairs=True), 2) == [
        {"text": "0", "text_pair": "0!"},
        {"text": "2", "text_pair": "2!"},
    ]


def test_the_expected_answers_are_onnxruntimes_own(golden: Callable[..., Path], model_folder: Path) -> None:
    found = read_golden(golden())
    assert found.labels == LABELS
    assert found.rows == [TEXTS[place] for place in (0, 2, 4, 5, 7)]
    tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
    tokenizer.no_padding()
    session = onnxruntime.InferenceSession(model_folder / "model.onnx", providers=["CPUExecutionProvider"])
    for text, expected in zip(found.rows, found.probabilities, strict=True):
        row = tokenizer.encode(text)
        feed = {"input_ids": row.ids, "attention_mask": row.attention_mask, "token_type_ids": row.type_ids}
        logits = session.run(["logits"], {name: np.array([values]) for name, values in feed.items()})[0][0]
        assert expected == pytest.approx(np.exp(logits) / np.exp(logits).sum(), abs=1e-6)


def test_pairs_are_read_back_as_they_are_served(golden: Callable[..., Path]) -> None:
    found = read_golden(golden(pairs=True))
    assert found.rows == [{"text": TEXTS[place], "text_pair": PAIRS[place]} for place in (0, 2, 4, 5, 7)]
    assert found.settings["pairs"] is True


def test_a_model_that_answers_with_nan_has_no_golden_requests(golden: Callable[..., Path], model_folder: Path) -> None:
    model = onnx.load(model_folder / "model.onnx")
    head = next(weight for weight in model.graph.initializer if weight.name == "head")
    head.CopyFrom(numpy_helper.from_array(np.full((4, 3), np.nan, np.float32), "head"))
    onnx.save(model, model_folder / "model.onnx")
    with pytest.raises(MeasurementError, match="answers 'good film' with nan, so there is nothing to ship"):
        golden()
