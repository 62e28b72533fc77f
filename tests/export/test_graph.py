"""The fp32 graph is the model, in a form that others can read, and always the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hone.tasks.export.graph import export_onnx, initializers, set_nodes, write_onnx
from hone.tasks.export.graph_passes import optimize_graph
from hone.tasks.model.architectures.linears import embeddings, linear_names
from hone.tasks.model.runtime.sessions import create_session
from tests.export.conftest import SHAPES, Export, answers, expected, tokens

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_graph_answers_as_pytorch_at_every_batch_and_length(every: Export, shape: tuple[int, int]) -> None:
    given = tokens(*shape)
    difference = answers(every.graph, given) - expected(every.model, given, every.tokenizer.model_input_names)
    assert np.abs(difference).max() < 1e-5  # measured: 1e-6


def test_linear_layers_and_tables_carry_their_names_and_weights(alike: Export) -> None:
    nodes = {node.name: node for node in alike.graph.graph.node}
    tensors = initializers(alike.graph)
    for name in linear_names(alike.model):
        stored = numpy_helper.to_array(tensors[nodes[name].input[1]])
        assert nodes[name].op_type == "MatMul"
        assert np.array_equal(stored.T, alike.model.get_submodule(name).weight.detach().numpy())
    for name, table in embeddings(alike.model).items():
        stored = numpy_helper.to_array(tensors[nodes[name].input[0]])
        assert nodes[name].op_type == "Gather"
        assert np.array_equal(stored, table.weight.detach().numpy())


def test_batch_and_length_are_dynamic_by_name(every: Export) -> None:
    graph = every.graph.graph
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.input}
    assert shapes == {name: ["batch", "length"] for name in shapes}
    assert set(shapes) == set(every.tokenizer.model_input_names)
    assert [d.dim_param or d.dim_value for d in graph.output[0].type.tensor_type.shape.dim] == ["batch", 2]


def test_the_newest_operator_set_gives_the_same_answers(bert: Export) -> None:
    graph = export_onnx(bert.model, bert.tokenizer, opset=23)
    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", 23)]
    narrowed = optimize_graph(graph, for_cpu=True)
    assert len(narrowed) == 4
    given = tokens(5, 7)
    difference = answers(graph, given) - expected(bert.model, given, bert.tokenizer.model_input_names)
    assert np.abs(difference).max() < 1e-5


def test_nothing_of_the_machine_that_exported_it_is_in_the_file(bert: Export) -> None:
    content = bert.graph.SerializeToString()
    for trace in (b"site-packages", b".py", str(ROOT).encode(), b"File ", b"aten", b"pytorch"):
        assert trace not in content


def test_another_process_exports_the_same_bytes(bert: Export, tmp_path: Path) -> None:
    path = write_file(bert.copy(), tmp_path / "here" / "model.onnx")
    script = (
        "import sys; from pathlib import Path; from tests.export.conftest import export;"
        "from hone.tasks.export.graph import write_onnx;"
        "write_onnx(export('bert').graph, Path(sys.argv[1], 'model.onnx'))"
    )
    (tmp_path / "there").mkdir()
    command = [sys.executable, "-c", script, tmp_path / "there"]
    own = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=own, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there" / "model.onnx").read_bytes() == path.read_bytes()


def test_the_table_of_onnx_functions_is_made_once_a_process(bert: Export) -> None:
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    first, again = (ONNXRegistry().from_torchlib(opset_version=20) for _export in range(2))
    assert again is first


def test_a_graph_too_large_for_one_file_keeps_its_weights_beside_it(bert: Export, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = write_onnx(bert.copy(), tmp_path / "one" / "model.onnx")
    two = write_onnx(bert.copy(), tmp_path / "two" / "model.onnx", limit=10_000)
    assert [path.name for path in sorted((tmp_path / "two").iterdir())] == ["model.onnx", "model.onnx.data"]
    assert one == (tmp_path / "one" / "model.onnx").stat().st_size
    assert two == sum(path.stat().st_size for path in (tmp_path / "two").iterdir())
    given = tokens(2, 9)
    both = [answers(tmp_path / name / "model.onnx", given) for name in ("one", "two")]
    assert np.array_equal(*both)


def test_an_invalid_graph_is_refused_when_it_is_written(bert: Export, tmp_path: Path) -> None:
    graph = bert.copy()
    graph.graph.node[5].input[0] = "nobody"
    with pytest.raises(onnx.checker.ValidationError, match="nobody"):
        write_onnx(graph, tmp_path / "model.onnx")


def test_nodes_and_constants_that_reach_no_output_are_dropped() -> None:
    value = helper.make_tensor_value_info
    used, unused = (numpy_helper.from_array(np.ones(2, np.float32), name) for name in ("used", "unused"))
    nodes = [
        helper.make_node("Add", ["x", "used"], ["y"]),
        helper.make_node("Add", ["x", "unused"], ["z"]),
        helper.make_node("Neg", ["z"], ["nothing"]),
    ]
    kind = onnx.TensorProto.FLOAT
    model = helper.make_model(
        helper.make_graph(nodes, "g", [value("x", kind, [2])], [value("y", kind, [2])], [used, unused]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    set_nodes(model, list(model.graph.node))
    assert [node.op_type for node in model.graph.node] == ["Add"]
    assert list(initializers(model)) == ["used"]
    assert create_session(model.SerializeToString(), ["cpu"]).run(None, {"x": np.zeros(2, np.float32)})[0].sum() == 2


def write_file(graph: onnx.ModelProto, path: Path) -> Path:
    path.parent.mkdir()
    write_onnx(graph, path)
    return path
