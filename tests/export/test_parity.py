"""A graph that does not answer as its source is an error that says by how much."""

import copy

import numpy as np
import pytest
import torch

from tasks.errors import ExportError
from tasks.export.parity import check_float, check_integer, compare
from tasks.model.sessions import create_session
from tasks.model.text import TokenizedText
from tests.export.conftest import Export

pytestmark = pytest.mark.xdist_group("export")


@pytest.fixture(scope="module")
def text() -> TokenizedText:
    """90 rows of 1 to 30 tokens."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, 31, 90)
    ids = draw.integers(5, 60, lengths.sum()).astype(np.int32)
    return TokenizedText(ids, np.r_[0, lengths.cumsum()], np.zeros(len(ids), np.int8), np.zeros(90, np.int64))


def test_every_row_is_compared_once_in_batches_of_several_sizes(bert: Export, text: TokenizedText) -> None:
    sizes: list[int] = []
    bert.model.register_forward_pre_hook(lambda _m, _a, given: sizes.append(len(given["input_ids"])), with_kwargs=True)
    answers, expected = compare(create_session(bert.graph.SerializeToString(), ["cpu"]), bert.model, text, 0)
    bert.model._forward_pre_hooks.clear()
    assert answers.shape == expected.shape == (90, 2)
    assert sizes == [1, 2, 7, 16, 32, 1, 2, 7, 16, 6]
    assert check_float("bert", answers, expected, 1e-5) < 1e-5


def test_a_graph_of_other_weights_is_refused_with_the_difference(bert: Export, text: TokenizedText) -> None:
    other = copy.deepcopy(bert.model)
    with torch.no_grad():
        other.classifier.bias[0] += 0.25
    answers, expected = compare(create_session(bert.graph.SerializeToString(), ["cpu"]), other, text, 0)
    with pytest.raises(
        ExportError, match=r"teacher: a logit .* differs by 0\.25 from .* export\.tolerance allows 0\.001"
    ):
        check_float("teacher", answers, expected, 1e-3)


def test_a_logit_that_is_no_number_is_refused() -> None:
    good, bad = np.zeros((2, 2), np.float32), np.full((2, 2), np.nan, np.float32)
    with pytest.raises(ExportError, match="differs by nan"):
        check_float("student", bad, good, 1e-3)
    with pytest.raises(ExportError, match="by nan of their spread"):
        check_integer("student", bad, good)


def test_integers_may_differ_by_what_rounding_explains_and_no_more() -> None:
    draw = np.random.default_rng(0)
    expected = draw.normal(0, 2, (500, 3)).astype(np.float32)
    noise = draw.normal(0, 1, expected.shape).astype(np.float32)
    assert check_integer("student", expected + 0.02 * noise, expected) == pytest.approx(
        0.02 * np.abs(noise).max(), rel=1e-3
    )
    with pytest.raises(
        ExportError,
        match=r"student: logits of the integer graph .* by 0\.2\d* of their spread .* set quantize\.method=none",
    ):
        check_integer("student", expected + 0.5 * noise, expected)
