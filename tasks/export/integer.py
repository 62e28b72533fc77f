"""Real 8 bits: weights stored as int8, products of integers. Operators of the ONNX standard only.

dynamic (onnxruntime's CPU provider): DynamicQuantizeLinear, MatMulInteger and the scales, which the session fuses into
one kernel for each product. static (TensorRT, CUDA): QuantizeLinear and DequantizeLinear around what each product
reads. Embedding tables are looked up as int8, and only the rows found are scaled.
"""

from collections import Counter

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from transformers import PreTrainedModel

from hone.tasks.errors import ExportError
from hone.tasks.export.graph import initializers, layer_of, set_nodes, weights_read
from hone.tasks.model.architectures.linears import weight_of
from hone.tasks.model.training.fake_quantization import QuantizationConfig, weight_grid


def quantize_graph(graph: onnx.ModelProto, model: PreTrainedModel, plan: QuantizationConfig) -> None:
    """Makes an fp32 graph of `export_onnx` the integer graph that a plan describes, in place.

    Args:
        model: the graph's source; its weights set the grids, as in training.

    Raises:
        ExportError: when the graph lacks a layer that the plan quantises.
    """
    tensors, weights = initializers(graph), weights_read(graph)
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in graph.graph.value_info}
    builder = _Builder(Counter(layer_of(node) for node in graph.graph.node if node.op_type == "MatMul"))
    found = set()
    biased: set[str] = set()
    for node in graph.graph.node:
        name = layer_of(node)
        if node.op_type == "MatMul" and name in plan.linears and node.input[1] in weights:
            found.add(name)
            weight = weight_of(model, name)
            if plan.scheme == "dynamic":
                builder.dynamic_product(node, weight)
            else:
                builder.static_product(node, weight, plan.scales[name])
                if ranks.get(node.input[0]) == 2:
                    biased.add(node.output[0])
        elif node.op_type == "Gather" and name in plan.tables and node.input[0] in tensors:
            found.add(name)
            builder.look_up(node, weight_of(model, name))
        else:
            if node.op_type == "Add" and biased.intersection(node.input):
                # The session would fuse a bias into a Gemm of floats; it cannot with a Sum.
                node.op_type = "Sum"
            builder.nodes.append(node)
    missing = sorted({*plan.linears, *plan.tables} - found)
    if missing:
        raise ExportError(
            f"the graph has no product or look-up for {', '.join(missing)}: the exporter changed their form; "
            "keep them in fp32 or set quantize.method: none"
        )
    graph.graph.initializer.extend(builder.tensors.values())
    set_nodes(graph, builder.nodes)


class _Builder:
    """The nodes and constants of the integer graph."""

    def __init__(self, uses: Counter[str]) -> None:
        self._uses = uses
        """How many products there are of each layer."""
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, onnx.TensorProto] = {}
        self._rounded: dict[str, list[str]] = {}

    def dynamic_product(self, node: onnx.NodeProto, weight: torch.Tensor) -> None:
        """round(x / s) * W in integers, times the scales of both. Products of the same input share its rounding."""
        name, values, result = node.name, node.input[0], node.output[0]
        if self._uses[layer_of(node)] > 1:
            matrix, zeros, scale = self._unsigned_matrix(layer_of(node), weight)
        else:
            (matrix, scale), zeros = self._matrix(layer_of(node), weight), []
        if values not in self._rounded:
            self._rounded[values] = [f"{values}_{part}" for part in ("integers", "scale", "zero_point")]
            self._add("DynamicQuantizeLinear", [values], self._rounded[values])
        integers, values_scale, zero = self._rounded[values]
        self._add("MatMulInteger", [integers, matrix, zero, *zeros], [f"{result}_integers"], name=name)
        self._add("Cast", [f"{result}_integers"], [f"{result}_unscaled"], to=onnx.TensorProto.FLOAT)
        self._add("Mul", [values_scale, scale], [f"{result}_scale"])
        self._add("Mul", [f"{result}_unscaled", f"{result}_scale"], [result])

    def static_product(self, node: onnx.NodeProto, weight: torch.Tensor, scale: float) -> None:
        """The product of an input and a weight that were rounded. Each product has a rounding and a weight of its own:
        onnxruntime's CPU provider makes integer kernels of signed inputs only where they are not shared, and refuses
        shared int8 weights; TensorRT reads int8 alone."""
        name, layer, values = node.name, layer_of(node), node.input[0]
        use = name.removeprefix(layer)
        matrix, matrix_scale = self._matrix(layer, weight, use)
        zero = self._constant(f"{layer}.input_zero_point", np.zeros((), np.int8))
        step = self._constant(f"{layer}.input_scale", np.asarray(scale, np.float32))
        zeros = self._constant(f"{layer}.weight_zero_point{use}", np.zeros(weight.shape[0], np.int8))
        self._add("QuantizeLinear", [values, step, zero], [f"{name}_integers"])
        self._add("DequantizeLinear", [f"{name}_integers", step, zero], [f"{name}_rounded"])
        self._add("DequantizeLinear", [matrix, matrix_scale, zeros], [f"{name}_weight"], axis=1)
        self._add("MatMul", [f"{name}_rounded", f"{name}_weight"], [node.output[0]], name=name)

    def look_up(self, node: onnx.NodeProto, table: torch.Tensor) -> None:
        """Rows of an int8 table, times their scales."""
        integers, scale = weight_grid(table)
        name, layer, ids, result = node.name, layer_of(node), node.input[1], node.output[0]
        rows = self._constant(f"{layer}.weight_int8", integers.numpy())
        scales = self._constant(f"{layer}.weight_scale", scale[:, None].numpy())
        self._add("Gather", [rows, ids], [f"{result}_integers"], name=name)
        self._add("Cast", [f"{result}_integers"], [f"{result}_unscaled"], to=onnx.TensorProto.FLOAT)
        self._add("Gather", [scales, ids], [f"{result}_scale"])
        self._add("Mul", [f"{result}_unscaled", f"{result}_scale"], [result])

    def _matrix(self, name: str, weight: torch.Tensor, use: str = "") -> tuple[str, str]:
        """Names of the weight [in, out] int8 and of its scales [out].

        Args:
            use: where each use of a layer is to have a weight of its own: what tells it from others.
        """
        integers, scale = weight_grid(weight)
        matrix = self._constant(f"{name}.weight_int8{use}", np.ascontiguousarray(integers.T.numpy()))
        return matrix, self._constant(f"{name}.weight_scale", scale.numpy())

    def _unsigned_matrix(self, name: str, weight: torch.Tensor) -> tuple[str, list[str], str]:
        """Names of the weight [in, out] plus 128 as uint8, of what has to be subtracted again, and of its scales [out].

        On CPUs without VNNI onnxruntime makes this of every int8 weight by itself, and refuses the graph where two
        products share one (release 1.31, avx2_weight_s8_to_u8.cc).
        """
        integers, scale = weight_grid(weight)
        unsigned = (integers.T.to(torch.int16) + 128).to(torch.uint8)
        matrix = self._constant(f"{name}.weight_uint8", np.ascontiguousarray(unsigned.numpy()))
        zero = self._constant("weight_zero_point", np.asarray(128, np.uint8))
        return matrix, [zero], self._constant(f"{name}.weight_scale", scale.numpy())

    def _constant(self, name: str, values: np.ndarray) -> str:
        if name not in self.tensors:  # a layer that is used several times has its weights once
            self.tensors[name] = numpy_helper.from_array(values, name)
        return name

    def _add(self, kind: str, inputs: list[str], outputs: list[str], name: str = "", **attributes: int) -> None:
        node = helper.make_node(kind, inputs, outputs, name=name or outputs[0])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
