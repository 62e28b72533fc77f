"""What a session really runs: counted in the graph that onnxruntime made of the file, not in the file."""

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime

from hone.tasks.model.runtime.sessions import create_session

INTEGER = {"DynamicQuantizeMatMul", "MatMulIntegerToFloat", "MatMulInteger", "QLinearMatMul", "QGemm"}
FLOAT = {"MatMul", "FusedMatMul", "Gemm", "FusedGemm"}


@dataclass(frozen=True)
class Kernels:
    """The products of matrices in a session's graph."""

    integer: dict[str, int]
    """How many of each integer kernel."""
    float_products: list[str]
    """Products with a constant matrix, computed in fp32."""
    float_matrices: list[str]
    """Constant fp32 tensors of two or more rows and columns, whoever reads them."""


def count_kernels(path: Path) -> Kernels:
    """Reads the optimised graph of a CPU session for a model file."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        create_session(path, ["cpu"], threads=1, options=options)
        graph = onnx.load(options.optimized_model_filepath).graph
    matrices = [
        tensor.name
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and sum(size > 1 for size in tensor.dims) > 1
    ]
    constants = {tensor.name for tensor in graph.initializer}
    unpacked = {
        node.output[0] for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in constants
    }
    weights = unpacked.union(matrices)
    return Kernels(
        integer=dict(Counter(node.op_type for node in graph.node if node.op_type in INTEGER)),
        float_products=[node.name for node in graph.node if node.op_type in FLOAT and weights.intersection(node.input)],
        float_matrices=matrices,
    )
