"""What the champion makes of a text before it classifies it: the vector that its answer is computed from."""

import shutil
from pathlib import Path

import onnx
from onnx import helper

from hone.tasks.errors import ExportError

PRODUCTS = ("Gemm", "MatMul", "MatMulInteger")
QUANTIZERS = ("DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear")


def write_embedder(model: Path, into: Path) -> Path:
    """Copies an exported classifier to a folder in which its output `logits` is the input of its last layer: float32
    [rows, width], or [rows, tokens, width] of one that tags words or answers questions, whose first output it becomes.
    Everything else stays, so that whoever asks the classifier can ask this.

    Raises:
        ExportError: when no product leads to the logits.
    """
    shutil.copytree(model, into, dirs_exist_ok=True)
    found = onnx.load(into / "model.onnx")
    graph, output = found.graph, found.graph.output[0].name
    source = classified(graph, output)
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name == output:
                node.output[index] = f"{output}_classified"
    graph.node.append(helper.make_node("Identity", [source], [output]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
    onnx.save(found, into / "model.onnx")
    return into


def classified(graph: onnx.GraphProto, output: str) -> str:
    """Name of the tensor that the last product before an output multiplies, before it was quantised."""
    makers = {name: node for node in graph.node for name in node.output}
    waiting = [output]
    while waiting:
        node = makers.get(waiting.pop(0))
        if node is None:
            continue
        if node.op_type in PRODUCTS:
            name = str(node.input[0])
            while (maker := makers.get(name)) is not None and maker.op_type in QUANTIZERS:
                name = str(maker.input[0])
            return name
        waiting += [str(name) for name in node.input]
    raise ExportError(f"nothing is multiplied on the way to '{output}': not a classifier that Hone exported")
