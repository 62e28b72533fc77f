"""Every token of a document is scored once, with half a window before it where there is so much."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from hone.tasks.objectives.text_generation.generating import (
    CHOICE,
    NLL,
    NORM,
    TOP,
    context_of,
    kept_of,
    make_windows,
)

VOCABULARY = 50


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        initializer_range=0.5,
    )
    return LlamaForCausalLM(config).eval()


def drawn(lengths: list[int], seed: int = 0) -> list[list[int]]:
    draw = np.random.default_rng(seed)
    return [draw.integers(1, VOCABULARY, length).tolist() for length in lengths]


def test_windows_by_hand() -> None:
    found = make_windows([[1, 2, 3, 4, 5, 6, 7], [8]], max_length=4, boundary=0)
    parts = [found.row(window)[0] for window in range(len(found))]
    assert parts == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [0, 8]]
    scored = np.split(found.scored, found.offsets[1:-1])
    assert [part.tolist() for part in scored] == [
        [False, True, True, True],
        [False, False, True, True],
        [False, False, True, True],
        [False, True],
    ]
    assert found.documents.tolist() == [0, 0, 0, 1]
    assert found.tokens.tolist() == [0, 7, 8]


@pytest.mark.parametrize("max_length", [4, 5, 16])
def test_each_token_is_scored_once_in_order_with_half_a_window_before_it(max_length: int) -> None:
    documents = drawn([*range(40), 0, 100])
    found = make_windows(documents, max_length, boundary=0)
    assert found.lengths.max() <= max_length
    assert found.ids[found.scored].tolist() == [token for document in documents for token in document]
    assert np.diff(found.tokens).tolist() == [len(document) for document in documents]
    firsts = np.searchsorted(found.documents, np.arange(len(documents)))
    for window in range(len(found)):
        part = found.scored[found.offsets[window] : found.offsets[window + 1]]
        before = int(part.argmax()) if part.any() else len(part)
        assert before == 1 if window in firsts else before >= context_of(max_length)


def test_a_document_that_fits_has_the_likelihood_of_the_whole(model: LlamaForCausalLM) -> None:
    documents = drawn([9, 15, 1])
    found = make_windows(documents, max_length=16, boundary=0)
    assert len(found) == 3
    values = answered(model, found)
    for index, document in enumerate(documents):
        ids = torch.tensor([[0, *document]])
        with torch.no_grad():
            expected = model(input_ids=ids, labels=ids).loss.item() * len(document)
        own = values[found.tokens[index] : found.tokens[index + 1], NLL]
        assert float(own.sum()) == pytest.approx(expected, rel=1e-5)


def test_a_long_document_is_scored_as_by_transformers_with_a_stride(model: LlamaForCausalLM) -> None:
    """The recipe of transformers' own documentation: targets of the context are -100."""
    (document,) = drawn([37])
    values = answered(model, make_windows([document], max_length=8, boundary=0))
    whole, end, total = torch.tensor([[0, *document]]), 1, 0.0
    starts = [0, *range(4, 38 - 8, 4), 38 - 8]
    for start in starts:
        ids = whole[:, start : start + 8]
        labels = ids.clone()
        labels[:, : end - start] = -100
        with torch.no_grad():
            total += model(input_ids=ids, labels=labels).loss.item() * int((labels[:, 1:] >= 0).sum())
        end = start + ids.shape[1]
    assert float(values[:, NLL].sum()) == pytest.approx(total, rel=1e-5)


def answered(model: LlamaForCausalLM, found: object) -> np.ndarray:
    """A window at a time."""
    from hone.tasks.objectives.text_generation.generating import Windows

    assert isinstance(found, Windows)

    def one(indices: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(input_ids=torch.tensor([found.row(int(indices[0]))[0]])).logits.numpy()

    return found.answers([np.array([window]) for window in range(len(found))], one)


def test_what_is_kept_of_a_token_by_hand() -> None:
    logits = np.log(np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])) + np.array([[1.0], [-2.0]])
    found = kept_of(logits, np.array([2, 0]))
    assert found[:, NLL].tolist() == pytest.approx([-np.log(0.3), -np.log(0.6)])
    assert found[:, CHOICE].tolist() == [1, 0]
    assert found[:, TOP].tolist() == pytest.approx([np.log(0.5) + 1, np.log(0.6) - 2])
    assert found[:, NORM].tolist() == pytest.approx([1, -2])


def test_a_logit_that_is_no_number_leaves_none_of_its_token() -> None:
    logits = np.zeros((3, 4), np.float32)
    logits[1, 2], logits[2, 0] = np.nan, np.inf
    assert np.isfinite(kept_of(logits, np.zeros(3, np.int64))).all(axis=1).tolist() == [True, False, False]
