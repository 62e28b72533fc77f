"""Which provider ran which node is read from a run, and counted as the session's own graph has it."""

from collections import Counter
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

from hone.tasks.contracts import OnnxModel
from hone.tasks.evaluate.placement import place, read_profile
from hone.tasks.model.runtime.sessions import create_session
from tests.evaluate.exported_models import subject_of, write_models

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="tells what happens without a GPU")


@pytest.fixture(scope="module")
def models() -> dict[str, OnnxModel]:
    return write_models()


def optimised(model: Path, into: Path) -> onnx.GraphProto:
    """The graph that a CPU session runs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(into)
    create_session(model, ["cpu"], threads=1, options=options)
    return onnx.load(into).graph


@pytest.mark.parametrize("name", ["teacher", "quantized"])
def test_every_node_of_the_sessions_graph_is_counted_once(
    models: dict[str, OnnxModel], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    subject = subject_of(models[name])
    found = place(subject, ["cpu"], threads=1)
    assert list(tmp_path.iterdir()) == []
    graph = optimised(subject.folder / "model.onnx", tmp_path / "optimised.onnx")
    assert (found.asked, found.got, found.fallback) == (["cpu"], ["cpu"], [])
    assert found.nodes == {"cpu": len(graph.node)}
    assert found.operators == {"cpu": Counter(node.op_type for node in graph.node)}


@no_gpu
def test_without_a_gpu_every_node_of_a_recipe_for_one_is_a_fallback(
    models: dict[str, OnnxModel], tmp_path: Path
) -> None:
    subject = subject_of(models["quantized"])
    found = place(subject, ["cuda", "cpu"], threads=1)
    graph = optimised(subject.folder / "model.onnx", tmp_path / "optimised.onnx")
    assert (found.asked, found.got) == (["cuda", "cpu"], ["cpu"])
    assert sorted(found.fallback) == sorted(node.name for node in graph.node)


def test_nodes_that_ran_elsewhere_than_on_the_first_provider_are_named() -> None:
    def ran(name: str, provider: str, operator: str, index: int, kind: str = "_kernel_time") -> dict[str, object]:
        facts = {"provider": f"{provider}ExecutionProvider", "op_name": operator, "node_index": str(index)}
        return {"cat": "Node", "name": f"{name}{kind}", "args": facts}

    events: list[dict[str, object]] = [
        {"cat": "Session", "name": "model_run", "args": {}},
        ran("shape", "CPU", "Shape", 0),
        ran("product", "CUDA", "MatMul", 1),
        ran("product", "CUDA", "MatMul", 1),  # it ran twice and is one node
        ran("product", "CUDA", "MatMul", 1, "_fence_before"),
        ran("", "CPU", "Gather", 2),
        ran("", "CUDA", "MatMul", 3),
        ran("rest", "Dnnl", "Add", 4),
    ]
    found = read_profile(events, ["cuda", "cpu"], ["cuda", "cpu"])
    assert found.nodes == {"cpu": 2, "cuda": 2, "DnnlExecutionProvider": 1}
    assert found.operators == {
        "cpu": {"Gather": 1, "Shape": 1}, "cuda": {"MatMul": 2}, "DnnlExecutionProvider": {"Add": 1},
    }  # fmt: skip
    assert found.fallback == ["shape", "Gather", "rest"]
    assert read_profile(events, ["tensorrt", "cuda", "cpu"], ["cuda", "cpu"]).fallback == [
        "shape", "Gather", "product", "MatMul", "rest",
    ]  # fmt: skip
