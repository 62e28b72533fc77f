"""Rewriting leaves the answer and spares work."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hone.tasks.export.graph import initializers
from hone.tasks.export.graph_passes import avoid_skip_layernorm, optimize_graph, slice_to_first_token, static_reshapes
from hone.tasks.model.architectures.use import use_of
from tests.export.conftest import SHAPES, Export, answers, expected, tokens


@pytest.mark.parametrize("shape", SHAPES)
def test_a_rewritten_graph_answers_as_pytorch(every: Export, shape: tuple[int, int]) -> None:
    graph = every.copy()
    optimize_graph(graph, for_cpu=True)
    given = tokens(*shape)
    difference = answers(graph, given) - expected(every.model, given, every.tokenizer.model_input_names)
    assert np.abs(difference).max() < 1e-5  # measured: 1e-6


def test_the_last_layer_computes_the_first_token_alone_but_for_keys_and_values(every: Export) -> None:
    graph = every.copy()
    first = use_of(every.model).first_token
    assert first or every.kind in ("albert", "modernbert")
    assert optimize_graph(graph, only=first, for_cpu=True) == list(first)
    rows = tokens_computed(graph, batch=3, length=11)
    assert {rows[name] for name in first} <= {1}
    others = {rows[name] for name in rows if name not in first and rows[name] is not None}
    assert others - {16} == {11}  # DeBERTa's two times 8 relative positions


def test_without_it_every_layer_computes_all_tokens(bert: Export) -> None:
    graph = bert.copy()
    assert optimize_graph(graph, only=(), for_cpu=True) == []
    rows = tokens_computed(graph, batch=3, length=11)
    assert {rows[name] for name in use_of(bert.model).first_token} == {11}


def test_shapes_are_copied_instead_of_computed(alike: Export) -> None:
    graph = alike.copy()
    static_reshapes(graph)
    assert (
        Counter(node.op_type for node in graph.graph.node)["Concat"]
        < Counter(node.op_type for node in alike.graph.graph.node)["Concat"]
    )
    shapes = [node.input[1] for node in graph.graph.node if node.op_type == "Reshape"]
    assert shapes
    assert all(numpy_helper.to_array(initializers(graph)[name])[:2].tolist() == [0, 0] for name in shapes)


def test_sums_before_norms_are_left_alone_by_the_session(bert: Export, tmp_path) -> None:
    graph = bert.copy()
    avoid_skip_layernorm(graph)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "seen.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "seen.onnx").graph.node)
    assert kinds["SkipLayerNormalization"] == 0
    assert kinds["LayerNormalization"] == 5


def test_for_other_providers_additions_stay_what_they_are(bert: Export) -> None:
    graph = bert.copy()
    optimize_graph(graph, for_cpu=False)
    assert "Sum" not in {node.op_type for node in graph.graph.node}


def test_the_first_token_is_taken_as_early_as_nobody_else_reads_the_value() -> None:
    """x -> Tanh -> a -> Relu -> Gather, and a's sum goes out as well: Relu is narrowed, and Tanh is not."""
    graph = by_hand(
        [
            helper.make_node("Tanh", ["x"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Gather", ["b", "first"], ["y"], axis=1),
            helper.make_node("ReduceSum", ["a"], ["z"], keepdims=0),
        ],
        {"first": np.array(0)},
        {"a": ["n", "t", 4], "b": ["n", "t", 4]},
    )
    before = run(graph)
    slice_to_first_token(graph)
    assert [node.op_type for node in graph.graph.node] == ["Tanh", "Slice", "Relu", "Gather", "ReduceSum"]
    assert all(np.array_equal(*pair) for pair in zip(before, run(graph), strict=True))


def test_what_mixes_tokens_is_not_narrowed() -> None:
    """Softmax over the tokens, and over the width: only the second works token by token."""
    for axis, expected_order in [
        (1, ["Softmax", "Slice", "Relu", "Gather"]),
        (2, ["Slice", "Softmax", "Relu", "Gather"]),
    ]:
        graph = by_hand(
            [
                helper.make_node("Softmax", ["x"], ["a"], axis=axis),
                helper.make_node("Relu", ["a"], ["b"]),
                helper.make_node("Gather", ["b", "first"], ["y"], axis=1),
            ],
            {"first": np.array(0)},
            {"a": ["n", "t", 4], "b": ["n", "t", 4]},
        )
        before = run(graph)
        slice_to_first_token(graph)
        assert [node.op_type for node in graph.graph.node] == expected_order
        assert np.allclose(before[0], run(graph)[0])


def test_a_gather_of_another_token_narrows_nothing() -> None:
    graph = by_hand(
        [helper.make_node("Relu", ["x"], ["b"]), helper.make_node("Gather", ["b", "second"], ["y"], axis=1)],
        {"second": np.array(1)},
        {"b": ["n", "t", 4]},
    )
    slice_to_first_token(graph)
    assert [node.op_type for node in graph.graph.node] == ["Relu", "Gather"]


def by_hand(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], shapes: dict[str, list]) -> onnx.ModelProto:
    """A graph from x [n, t, 4] to y, and z where a node gives it."""
    value = helper.make_tensor_value_info
    outputs = [value("y", TensorProto.FLOAT, ["n", 4])]
    if any("z" in node.output for node in nodes):
        outputs.append(value("z", TensorProto.FLOAT, []))
    graph = helper.make_graph(
        nodes,
        "hand",
        [value("x", TensorProto.FLOAT, ["n", "t", 4])],
        outputs,
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
        value_info=[value(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(graph: onnx.ModelProto) -> list[np.ndarray]:
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)})


def tokens_computed(graph: onnx.ModelProto, batch: int, length: int) -> dict[str, int | None]:
    """How many tokens each linear layer of the encoder computes; None for those of the head, which get no tokens."""
    for node in graph.graph.node:
        if node.op_type == "MatMul" and "." in node.name:
            graph.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = {node.output[0]: node.name for node in graph.graph.node}
    given = tokens(batch, length)
    found = session.run(None, {value.name: given[value.name].numpy() for value in session.get_inputs()})
    outputs = [value.name for value in session.get_outputs()]
    return {
        names[output]: value.shape[1] if value.ndim == 3 else None
        for output, value in zip(outputs, found, strict=True)
        if output != "logits"
    }
