"""Weights of 4 or 8 bits in blocks: onnxruntime's MatMulNBits and GatherBlockQuantized for products and look-ups.

A table that is embedding and head is held once, and read by both. CPU provider: the products compute with activations
of 8 bits (`accuracy_level` 4), as `block_grid.rounded_blocks` does in training.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper
from transformers import PreTrainedModel

from hone.tasks.errors import ExportError
from hone.tasks.export.graph import initializers, layer_of, set_nodes, weights_read
from hone.tasks.model.architectures.linears import tied_tables, weight_of
from hone.tasks.model.training.block_grid import SYMMETRIC_ZERO, BlockGrid
from hone.tasks.model.training.fake_quantization import QuantizationConfig

DOMAIN = "com.microsoft"
Rows = list[tuple[str, int, int]]
"""Linear layers that one product computes: dotted name, first row and the one behind the last."""
RowsOf = Callable[[onnx.NodeProto, npt.NDArray[np.float32]], Rows]


def quantize_blocks(
    graph: onnx.ModelProto, model: PreTrainedModel, plan: QuantizationConfig, rows_of: RowsOf | None = None
) -> None:
    """Makes an fp32 graph the one that a blockwise plan describes, in place.

    Args:
        model: the graph's source; its weights set the grids, as in training.
        rows_of: which layers a product computes, where the graph does not name it after one (see `rows_by_name`).

    Raises:
        ExportError: when the graph lacks a layer that the plan quantises, or computes layers of 4 and of 8 bits at
            once.
    """
    tensors, weights = initializers(graph), weights_read(graph)
    flipped = {node.output[0]: node.input[0] for node in graph.graph.node if node.op_type == "Transpose"}
    tied = tied_tables(model)
    blocks = _Blocks(plan, model, {head: table for head, table in tied.items() if table in plan.tables})
    found: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in graph.graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            name = node.input[1]
            held = numpy_helper.to_array(tensors[name] if name in tensors else tensors[flipped[name]])
            rows = (rows_of or rows_by_name)(node, held if name in tensors else held.T)
            if all(layer in plan.linears for layer, _start, _end in rows):
                found.update(layer for layer, _start, _end in rows)
                nodes.append(blocks.product(node, rows))
                continue
        elif node.op_type == "Gather" and (table := _table_of(node, tensors, flipped, plan, model)):
            found.add(table)
            nodes.extend(blocks.look_up(node, table))
            continue
        nodes.append(node)
    missing = sorted({*plan.linears, *plan.tables} - found)
    if missing:
        raise ExportError(
            f"the graph has no product or look-up for {', '.join(missing)}: the exporter changed their form; "
            "set quantize.scheme: dynamic or quantize.method: none"
        )
    graph.graph.initializer.extend(blocks.tensors.values())
    if DOMAIN not in {used.domain for used in graph.opset_import}:
        graph.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    set_nodes(graph, nodes)


def rows_by_name(node: onnx.NodeProto, weight: npt.NDArray[np.float32]) -> Rows:
    """Of a product that carries the name of its one layer, as `export_onnx` names them."""
    return [(layer_of(node), 0, weight.shape[1])]


def _table_of(
    node: onnx.NodeProto,
    tensors: dict[str, onnx.TensorProto],
    flipped: dict[str, str],
    plan: QuantizationConfig,
    model: PreTrainedModel,
) -> str:
    """The table of the plan whose rows a node looks up, by its values; empty where it looks up something else."""
    name = node.input[0]
    source = name if name in tensors else flipped.get(name, "")
    if source not in tensors or len(tensors[source].dims) != 2:
        return ""
    values = numpy_helper.to_array(tensors[source])
    values = values if name in tensors else values.T
    for table in plan.tables:
        own = weight_of(model, table)
        if own.shape == values.shape and torch.equal(own, torch.tensor(values)):
            return table
    return ""


class _Blocks:
    """The nodes and constants of the graph in blocks."""

    def __init__(self, plan: QuantizationConfig, model: PreTrainedModel, tied: dict[str, str]) -> None:
        self._plan, self._model, self._tied = plan, model, tied
        self.tensors: dict[str, onnx.TensorProto] = {}

    def product(self, node: onnx.NodeProto, rows: Rows) -> onnx.NodeProto:
        """MatMulNBits with the weights of all the layers one after the other."""
        bits = {self._plan.bits_of(layer) for layer, _start, _end in rows}
        if len(bits) > 1:
            raise ExportError(
                f"{node.name} computes {', '.join(layer for layer, _start, _end in rows)} at once, and they have "
                "different bits: report the model type"
            )
        name = "+".join(self._tied.get(layer, layer) for layer, _start, _end in rows)
        if any(start for _layer, start, _end in rows):
            name = f"{name}[{rows[0][1]}:]"
        grid = _joined([self._grid(layer).rows(start, end) for layer, start, end in rows])
        integers, scales = self._hold(name, grid)
        inputs = [node.input[0], integers, scales]
        if (grid.zeros != SYMMETRIC_ZERO).any():
            inputs.append(self._constant(f"{name}.weight_zero_points", _packed(grid.zeros.numpy(), grid.bits)))
        return helper.make_node(
            "MatMulNBits",
            inputs,
            [node.output[0]],
            name=node.name,
            domain=DOMAIN,
            K=grid.integers.shape[1],
            N=grid.integers.shape[0],
            bits=grid.bits,
            block_size=self._plan.block,
            accuracy_level=4,
        )

    def look_up(self, node: onnx.NodeProto, table: str) -> list[onnx.NodeProto]:
        """Rows of a table in blocks; only those found are scaled. The table keeps the shape that a product wants, so
        that both read one."""
        grid, result = self._grid(table), node.output[0]
        integers, scales = self._hold(table, grid)
        rows, blocks = grid.scales.shape
        width = grid.integers.shape[1]
        by_block = self._constant(f"{table}.scale_shape", np.array([rows, blocks, 1], np.int64))
        as_row = self._constant(f"{table}.row_shape", np.array([0, 0, width], np.int64))
        return [
            helper.make_node("Reshape", [scales, by_block], [f"{result}_scales"], name=f"{node.name}_scales"),
            helper.make_node(
                "GatherBlockQuantized",
                [integers, node.input[1], f"{result}_scales"],
                [f"{result}_blocks"],
                name=node.name,
                domain=DOMAIN,
                bits=grid.bits,
                block_size=self._plan.block,
                gather_axis=0,
                quantize_axis=2,
            ),
            helper.make_node("Reshape", [f"{result}_blocks", as_row], [result], name=f"{node.name}_row"),
        ]

    def _grid(self, name: str) -> BlockGrid:
        return self._plan.grid_of(self._tied.get(name, name), weight_of(self._model, name).detach())

    def _hold(self, name: str, grid: BlockGrid) -> tuple[str, str]:
        """Names of the integers [rows, blocks, bytes of a block] uint8 and of the scales [rows, blocks] fp32."""
        parts = grid.integers.view(*grid.scales.shape, -1).numpy()
        integers = self._constant(f"{name}.weight_blocks", _packed(parts, grid.bits))
        return integers, self._constant(f"{name}.weight_scales", grid.scales.numpy())

    def _constant(self, name: str, values: np.ndarray) -> str:
        if name not in self.tensors:
            self.tensors[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name


def _joined(grids: list[BlockGrid]) -> BlockGrid:
    """One below the other."""
    integers, scales, zeros = zip(*((grid.integers, grid.scales, grid.zeros) for grid in grids), strict=True)
    return BlockGrid(torch.cat(integers), torch.cat(scales), torch.cat(zeros), grids[0].bits)


def _packed(integers: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """Two integers of 4 bits in a byte along the last axis, the first one low; an odd one out has 0 beside it."""
    if bits == 8:
        return integers
    odd = [(0, 0)] * (integers.ndim - 1) + [(0, integers.shape[-1] % 2)]
    even = np.pad(integers, odd)
    return np.asarray(even[..., 0::2] | (even[..., 1::2] << 4), np.uint8)
