"""What leaves is real 8 bits: stored as int8, multiplied as integers, and it answers as the model that rounds."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from hone.tasks.errors import ExportError
from hone.tasks.export.graph import initializers, write_onnx
from hone.tasks.export.graph_passes import optimize_graph
from hone.tasks.export.integer import quantize_graph
from hone.tasks.model.architectures.linears import linear_names
from hone.tasks.model.training.fake_quantization import QuantizationConfig, attach, weight_grid
from tests.export.conftest import SHAPES, Export, answers, expected, export, plan_of, tokens
from tests.export.kernels import count_kernels

SCHEMES = ["dynamic", "static"]


def integer(made: Export, plan: QuantizationConfig) -> onnx.ModelProto:
    graph = made.copy()
    narrowed = optimize_graph(graph, only=plan.first_token, for_cpu=plan.scheme == "dynamic")
    assert sorted(narrowed) == sorted(plan.first_token)
    quantize_graph(graph, made.baked(plan), plan)
    return graph


def written(graph: onnx.ModelProto, folder: Path) -> Path:
    write_onnx(graph, folder / "model.onnx")
    return folder / "model.onnx"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_linear_layer_becomes_an_integer_kernel_and_no_fp32_matrix_stays(
    alike: Export, scheme: str, tmp_path: Path
) -> None:
    found = count_kernels(written(integer(alike, plan_of(alike.model, scheme)), tmp_path))
    assert sum(found.integer.values()) == len(linear_names(alike.model))
    assert set(found.integer) <= {"DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
    assert found.float_products == []
    assert found.float_matrices == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_are_stored_as_int8_and_only_so(alike: Export, scheme: str) -> None:
    plan = plan_of(alike.model, scheme)
    tensors = initializers(integer(alike, plan))
    for name in plan.linears:
        integers, scale = weight_grid(alike.model.get_submodule(name).weight)
        assert np.array_equal(numpy_helper.to_array(tensors[f"{name}.weight_int8"]), integers.T.numpy())
        assert np.allclose(numpy_helper.to_array(tensors[f"{name}.weight_scale"]), scale.numpy(), rtol=2.4e-7, atol=0)
    for name in plan.tables:
        integers, _scale = weight_grid(alike.model.get_submodule(name).weight)
        assert np.array_equal(numpy_helper.to_array(tensors[f"{name}.weight_int8"]), integers.numpy())
    matrices = {
        t.name
        for t in tensors.values()
        if t.data_type == TensorProto.FLOAT and min([*t.dims, 2]) > 1 and len(t.dims) > 1
    }
    assert matrices == set()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_integers_answer_as_the_model_that_rounds(every: Export, scheme: str, shape: tuple[int, int]) -> None:
    plan = plan_of(every.model, scheme)
    given = tokens(*shape)
    names = every.tokenizer.model_input_names
    rounded = expected(attach(every.baked(plan), plan), given, names)
    found = answers(integer(every, plan), given)
    exact = expected(every.model, given, names)
    # Most agree to 1e-6; a value that falls on the other side of a rounding moves a logit by a fraction of what
    # rounding does.
    assert np.abs(found - rounded).max() < 0.02 * np.abs(exact).max() + 1e-5
    assert np.abs(rounded - exact).max() > 1e-4  # rounding does something, so the agreement means something


def test_layers_that_are_kept_stay_fp32_and_are_the_only_ones(bert: Export, tmp_path: Path) -> None:
    kept = ["bert.encoder.layer.0.output.dense", "classifier", "bert.embeddings.position_embeddings"]
    plan = plan_of(bert.model).excluding(kept)
    found = count_kernels(written(integer(bert, plan), tmp_path))
    assert sum(found.integer.values()) == len(linear_names(bert.model)) - 2
    assert len(found.float_products) == 2
    assert len(found.float_matrices) == 3


def test_the_file_holds_standard_operators_only(every: Export) -> None:
    for scheme in SCHEMES:
        graph = integer(every, plan_of(every.model, scheme))
        assert {node.domain for node in graph.graph.node} == {""}


def test_a_layer_that_is_used_twice_has_its_weight_once() -> None:
    albert = export("albert")
    plan = plan_of(albert.model)
    graph = integer(albert, plan)
    query = next(name for name in plan.linears if name.endswith("attention.query"))
    uses = [node for node in graph.graph.node if node.name.partition("@")[0] == query]
    assert [node.op_type for node in uses] == ["MatMulInteger"] * albert.model.config.num_hidden_layers
    assert {node.input[1] for node in uses} == {f"{query}.weight_uint8"}
    integers, _scale = weight_grid(albert.model.get_submodule(query).weight)
    stored = numpy_helper.to_array(initializers(graph)[f"{query}.weight_uint8"]).astype(int) - 128
    assert np.array_equal(stored.T, integers.numpy())


def test_inputs_that_several_products_share_are_rounded_once(bert: Export) -> None:
    kinds = [node.op_type for node in integer(bert, plan_of(bert.model)).graph.node]
    # Of two layers with 6 products each, query, key and value share: 4 + 5 (the last query reads one token) + 2 of the
    # head.
    assert kinds.count("MatMulInteger") == 14
    assert kinds.count("DynamicQuantizeLinear") == 4 + 5 + 2


def test_a_layer_that_the_graph_lacks_is_named(bert: Export) -> None:
    plan = plan_of(bert.model)
    graph = bert.copy()
    for node in graph.graph.node:
        if node.name == "classifier":
            node.name = "renamed"
    with pytest.raises(ExportError, match=r"no product or look-up for classifier: .* set quantize.method: none"):
        quantize_graph(graph, bert.model, plan)


def test_a_wrong_scale_is_seen(bert: Export) -> None:
    """The comparison above is worth something: half a scale in one layer of the graph breaks it."""
    plan = plan_of(bert.model)
    graph = integer(bert, plan)
    scale = initializers(graph)["bert.encoder.layer.0.intermediate.dense.weight_scale"]
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) / 2, scale.name))
    given = tokens(8, 32)
    rounded = expected(attach(bert.baked(plan), plan), given, bert.tokenizer.model_input_names)
    assert np.abs(answers(graph, given) - rounded).max() > 0.02 * np.abs(rounded).max()
