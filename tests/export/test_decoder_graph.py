"""A decoder's graph scores texts as PyTorch does, padded at either end, in fp32 and in 8 bits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import numpy_helper

from hone.tasks.export.graph import initializers, layer_of, write_onnx
from hone.tasks.export.graph_passes import optimize_graph, share_tables
from hone.tasks.export.integer import quantize_graph
from hone.tasks.model.architectures.linears import linear_names, matrix, tied_tables
from hone.tasks.model.training.fake_quantization import attach
from tests.export.conftest import SHAPES, Export, answers, expected, plan_of
from tests.export.decoders import KINDS, export
from tests.export.kernels import count_kernels

NAMES = ["input_ids", "attention_mask"]
TIED = ["gemma3_text", "gpt2", "llama"]


@pytest.fixture(params=KINDS)
def every(request: pytest.FixtureRequest) -> Export:
    return export(request.param)


def tokens(batch: int, length: int, left: bool = False) -> dict[str, torch.Tensor]:
    """Rows of which all but the first are padded, behind the text or before it."""
    draw = np.random.default_rng([batch, length])
    mask = np.arange(length) < np.r_[length, draw.integers(1, length + 1, batch - 1)][:, None]
    mask = mask[:, ::-1] if left else mask
    ids = np.where(mask, draw.integers(3, 60, (batch, length)), 0)
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask.astype(np.int64))}


def of_tokens(logits: np.ndarray, given: dict[str, torch.Tensor]) -> np.ndarray:
    """Those of the tokens that are no padding: [tokens, vocabulary]."""
    return logits[given["attention_mask"].numpy().astype(bool)]


def integer(made: Export, scheme: str):
    graph, plan = made.copy(), plan_of(made.model, scheme)
    assert optimize_graph(graph, only=plan.first_token, for_cpu=scheme == "dynamic") == []
    quantize_graph(graph, made.baked(plan), plan)
    share_tables(graph, tied_tables(made.model))
    return graph


def test_the_graph_scores_as_pytorch_at_every_batch_and_length(every: Export) -> None:
    for shape in SHAPES:
        given = tokens(*shape)
        wanted = of_tokens(expected(every.model, given, NAMES), given)
        found = of_tokens(answers(every.graph, given), given)
        assert np.abs(found - wanted).max() < 2e-5 * np.abs(wanted).max(), shape


def test_padding_before_a_text_changes_nothing_of_what_is_said_of_it(every: Export) -> None:
    right, left = tokens(5, 7), tokens(5, 7, left=True)
    ids = [row[mask.bool()] for row, mask in zip(left["input_ids"], left["attention_mask"], strict=True)]
    found = answers(every.graph, left)
    for row, (text, mask) in enumerate(zip(ids, left["attention_mask"], strict=True)):
        alone = {"input_ids": text[None], "attention_mask": torch.ones_like(text[None])}
        wanted = expected(every.model, alone, NAMES)[0]
        assert np.abs(found[row, mask.numpy().astype(bool)] - wanted).max() < 2e-5 * np.abs(wanted).max()
    assert left["attention_mask"].tolist() != right["attention_mask"].tolist()


def test_a_token_hangs_on_none_that_comes_after_it(every: Export) -> None:
    given = tokens(1, 9)
    changed = {**given, "input_ids": given["input_ids"].clone()}
    changed["input_ids"][0, 6] += 1
    before, after = answers(every.graph, given)[0], answers(every.graph, changed)[0]
    assert np.array_equal(before[:6], after[:6])
    assert np.abs(before[6:] - after[6:]).max() > 1e-3


def test_batch_length_and_vocabulary_are_the_axes(every: Export) -> None:
    graph = every.graph.graph
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.input}
    assert shapes == {name: ["batch", "length"] for name in NAMES}
    assert [d.dim_param or d.dim_value for d in graph.output[0].type.tensor_type.shape.dim] == ["batch", "length", 64]


def test_linear_layers_carry_their_names_and_weights(every: Export) -> None:
    nodes, tensors = {node.name: node for node in every.graph.graph.node}, initializers(every.graph)
    for name in linear_names(every.model):
        assert nodes[name].op_type == "MatMul"
        stored = numpy_helper.to_array(tensors[nodes[name].input[1]])
        assert np.array_equal(stored.T, matrix(every.model.get_submodule(name)).detach().numpy())


def test_integers_score_as_the_model_that_rounds(every: Export) -> None:
    for scheme in ("dynamic", "static"):
        plan, graph = plan_of(every.model, scheme), integer(every, scheme)
        for shape in ((1, 9), (5, 7)):
            given = tokens(*shape)
            rounded = of_tokens(expected(attach(every.baked(plan), plan), given, NAMES), given)
            exact = of_tokens(expected(every.model, given, NAMES), given)
            found = of_tokens(answers(graph, given), given)
            assert np.abs(found - rounded).max() < 0.02 * np.abs(exact).max(), (scheme, shape)
            assert np.abs(rounded - exact).max() > 1e-4


def test_every_linear_layer_is_an_integer_kernel_and_norms_stay_fp32(every: Export, tmp_path: Path) -> None:
    graph = integer(every, "dynamic")
    write_onnx(graph, tmp_path / "model.onnx")
    found = count_kernels(tmp_path / "model.onnx")
    assert sum(found.integer.values()) == len(linear_names(every.model))
    assert found.float_products == []
    assert found.float_matrices == []
    assert {node.domain for node in graph.graph.node} == {""}


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_that_is_embedding_and_head_is_in_the_file_once(kind: str) -> None:
    made = export(kind)
    assert bool(tied_tables(made.model)) == (kind in TIED)
    plain = made.copy()
    optimize_graph(plain, for_cpu=True)
    before = answers(plain, given := tokens(2, 7))
    share_tables(plain, tied_tables(made.model))
    assert np.array_equal(answers(plain, given), before)
    for graph in (plain, integer(made, "dynamic")):
        tables = [t.name for t in graph.graph.initializer if sorted(t.dims) == [32, 64]]
        inner = [name for name in tables if ".0." in name or ".1." in name or "wpe" in name]
        assert len(tables) - len(inner) == (1 if kind in TIED else 2), tables
        assert any(layer_of(node) == "lm_head" for node in graph.graph.node)
