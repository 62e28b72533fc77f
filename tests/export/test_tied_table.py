"""A table that is looked up and multiplied by, as a decoder's tied embeddings, is there once and rounds in both."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from hone.tasks.export.graph import weights_read
from hone.tasks.export.integer import quantize_graph
from hone.tasks.model.runtime.runtime import create_session
from hone.tasks.model.training.fake_quantization import QuantizationConfig, attach


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.head(torch.relu(self.embed(ids)))
        return found


def graph_of(model: Tied) -> onnx.ModelProto:
    """As torch's exporter writes it: one constant, and its transpose where it is multiplied by."""
    table = numpy_helper.from_array(model.embed.weight.detach().numpy(), "table")
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["hidden"], name="embed"),
        helper.make_node("Transpose", ["table"], ["flipped"], perm=[1, 0]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "flipped"], ["logits"], name="head"),
    ]
    value = helper.make_tensor_value_info
    inputs = [value("ids", TensorProto.INT64, ["batch", "length"])]
    outputs = [value("logits", TensorProto.FLOAT, ["batch", "length", 20])]
    graph = helper.make_graph(nodes, "tied", inputs, outputs, [table])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_the_transpose_of_a_constant_is_a_weight_too() -> None:
    assert weights_read(graph_of(Tied())) == {"table", "flipped"}


def test_both_uses_of_the_table_round_as_in_pytorch() -> None:
    model = Tied()
    graph = graph_of(model)
    plan = QuantizationConfig("dynamic", linears=("head",), tables=("embed",))
    quantize_graph(graph, model, plan)  # type: ignore[arg-type]  # it has parameters by name, which is all that is asked
    assert {tensor.data_type for tensor in graph.graph.initializer if len(tensor.dims) == 2} == {
        TensorProto.INT8,
        TensorProto.FLOAT,  # the rows' scales
    }
    assert "table" not in {tensor.name for tensor in graph.graph.initializer}
    ids = np.arange(12, dtype=np.int64).reshape(2, 6)
    session = create_session(graph.SerializeToString(), ["cpu"], threads=1)
    found = session.run(None, {"ids": ids})[0]
    with torch.no_grad():
        expected = attach(model, plan)(torch.from_numpy(ids)).numpy()  # type: ignore[arg-type]
    assert np.abs(found - expected).max() < 1e-4  # measured: 5e-7
