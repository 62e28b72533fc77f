"""Rewrites of a graph that leave its answer and spare work.

Measured on 3 layers of MiniLM with 6 heads and 512 neurons in 8 bits, one core, geometric mean over 1x16 to 32x128: the
first token alone in the last layer 1.3x, sums that stay sums 1.4x. What did not pay: one product for query, key and
value, onnxruntime's fused attention, its Gelu.
"""

from collections import Counter
from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hone.tasks.export.graph import initializers, layer_of, set_nodes

ROW_BY_ROW = {"Add", "Sub", "Mul", "Div", "Sum", "Erf", "Tanh", "Relu", "Gelu", "Sqrt", "Pow", "Cast", "Identity"}
"""Operators whose output at one place depends on their inputs at that place."""


def optimize_graph(graph: onnx.ModelProto, *, only: Collection[str] | None = None, for_cpu: bool) -> list[str]:
    """Rewrites a graph that `export_onnx` made, in place.

    Args:
        only: linear layers that may be computed for the first token alone; None: all of which nothing else is read.
        for_cpu: keep onnxruntime from a fusion that makes its CPU kernels slower.

    Returns:
        Names of the linear layers that are computed for the first token alone.
    """
    static_reshapes(graph)
    narrowed = slice_to_first_token(graph, only)
    if for_cpu:
        avoid_skip_layernorm(graph)
    return narrowed


def static_reshapes(graph: onnx.ModelProto) -> None:
    """Reshape to (batch, length, ...) becomes Reshape to (0, 0, ...), where 0 says: as it was. The shape needs no
    computing any more, and holds when there are fewer tokens."""
    makers = {node.output[0]: node for node in graph.graph.node}
    shapes = _shapes(graph)
    constants = {name: numpy_helper.to_array(tensor) for name, tensor in initializers(graph).items() if _small(tensor)}
    for node in graph.graph.node:
        maker = makers.get(node.input[1]) if node.op_type == "Reshape" else None
        if maker is None or maker.op_type != "Concat" or len(maker.input) < 3:
            continue
        if [_axis_of(makers.get(name)) for name in maker.input[:2]] != [0, 1]:
            continue
        if shapes[node.input[0]][:2] != shapes[node.output[0]][:2]:  # it splits or merges one of the two
            continue
        rest = [constants.get(name) for name in maker.input[2:]]
        if any(part is None or part.size != 1 for part in rest):
            continue
        shape = [0, 0, *(int(part.item()) for part in rest if part is not None)]
        del node.attribute[:]  # allowzero, under which 0 would mean nothing at all
        node.input[1] = _constant(graph, "shape_" + "_".join(str(size).replace("-", "minus") for size in shape), shape)
    set_nodes(graph, list(graph.graph.node))


def slice_to_first_token(graph: onnx.ModelProto, only: Collection[str] | None = None) -> list[str]:
    """Where all that is read of a value is its first token, computes that token alone.

    Starts at the Gather that takes the first token, and goes back through operators that work token by token as long as
    nobody else reads the value; where that ends, a Slice takes the token. Of attention, the queries are narrowed, and
    keys and values stay.

    Args:
        only: linear layers that may be; the way back ends at any other. None: all.

    Returns:
        Names of the linear layers that are computed for the first token alone.
    """
    shapes = _shapes(graph)
    tensors = initializers(graph)
    readers = Counter(name for node in graph.graph.node for name in node.input)
    for value in graph.graph.output:
        readers[value.name] += 1
    asked: dict[str, list[tuple[onnx.NodeProto, int, int]]] = {}  # value -> (reader, place of the input, token axis)
    narrowed: list[str] = []
    for node in reversed(graph.graph.node):
        if _takes_first(node, tensors):
            asked.setdefault(node.input[0], []).append((node, 0, 1))
            continue
        requests = asked.get(node.output[0], [])
        axes = {axis for _reader, _place, axis in requests}
        if len(node.output) != 1 or len(axes) != 1 or len(requests) != readers[node.output[0]]:
            continue
        linear = node.op_type == "MatMul" and node.input[1] in tensors
        if linear and only is not None and layer_of(node) not in only:
            continue
        inputs = _inputs_for(node, axes.pop(), shapes, tensors)
        if inputs is None:
            continue
        del asked[node.output[0]]
        if linear:
            narrowed.append(layer_of(node))
        for index, axis in inputs.items():
            asked.setdefault(node.input[index], []).append((node, index, axis))
    _slice(graph, asked)
    return narrowed[::-1]


def avoid_skip_layernorm(graph: onnx.ModelProto) -> None:
    """Add before LayerNormalization becomes Sum, which says the same. onnxruntime fuses Add and LayerNormalization into
    SkipLayerNormalization, whose CPU kernel took 8.3 ms at 32x128 where the two together take 1.1 (release 1.31)."""
    normed = {node.input[0] for node in graph.graph.node if node.op_type == "LayerNormalization"}
    for node in graph.graph.node:
        if node.op_type == "Add" and node.output[0] in normed:
            node.op_type = "Sum"


def share_tables(graph: onnx.ModelProto, tied: dict[str, str]) -> None:
    """Has a linear layer whose weight is a table's read the table, transposed, in fp32 as in the dynamic 8 bits: the
    file holds it once. A session folds the transposition when it is opened, and computes as before. In the static
    scheme it stays twice: TensorRT wants weights in 8 bits to be constants.

    Args:
        tied: the table of each such layer, by dotted names (`linears.tied_tables`).
    """
    if not tied:
        return
    tensors = initializers(graph)
    held = {node.name: node.input[0] for node in graph.graph.node if node.op_type == "Gather"}
    made: list[onnx.NodeProto] = []
    for node in graph.graph.node:
        table = held.get(tied.get(layer_of(node), ""))
        if table not in tensors or node.op_type not in ("MatMul", "MatMulInteger"):
            continue
        if _is_flipped(tensors.get(node.input[1]), tensors[table]):
            flipped = f"{table}_flipped"
            made.append(helper.make_node("Transpose", [table], [flipped], name=flipped, perm=[1, 0]))
            node.input[1] = flipped
    set_nodes(graph, [*made, *graph.graph.node])


def _is_flipped(one: onnx.TensorProto | None, other: onnx.TensorProto) -> bool:
    """Whether two constants are each other's transpose: where one of them is rounded and the other is not, no."""
    if one is None or one.data_type != other.data_type:
        return False
    return np.array_equal(numpy_helper.to_array(one), numpy_helper.to_array(other).T)


def _inputs_for(
    node: onnx.NodeProto, axis: int, shapes: dict[str, list[int | str]], tensors: dict[str, onnx.TensorProto]
) -> dict[int, int] | None:
    """Which inputs a node needs only at the first place of which axis, for its output to be right at the first place of
    `axis`; None where it needs more."""
    shape = shapes.get(node.output[0])
    result: dict[int, int] | None = None
    if shape is None:
        return None
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type in ROW_BY_ROW:
        result = _same_place(node, axis, len(shape), shapes, tensors)
    elif node.op_type in ("LayerNormalization", "Softmax"):
        over = attributes["axis"].i if "axis" in attributes else -1
        result = {0: axis} if axis < over % len(shape) else None
    elif node.op_type == "MatMul" and axis == len(shape) - 2:
        result = {0: axis} if len(shapes.get(node.input[0], [])) == len(shape) else None
    elif node.op_type == "Transpose":
        result = {0: attributes["perm"].ints[axis]}
    elif node.op_type == "Reshape" and axis == 1 and node.input[1].startswith("shape_0_0_"):
        result = {0: 1}
    return result


def _same_place(
    node: onnx.NodeProto,
    axis: int,
    rank: int,
    shapes: dict[str, list[int | str]],
    tensors: dict[str, onnx.TensorProto],
) -> dict[int, int] | None:
    """The inputs that have this axis and more than one place along it; the others are spread over it."""
    result = {}
    for index, name in enumerate(node.input):
        own = _shape_of(name, shapes, tensors)
        if own is None:
            return None
        there = axis - (rank - len(own))
        if there >= 0 and own[there] != 1:
            result[index] = there
    return result


def _slice(graph: onnx.ModelProto, asked: dict[str, list[tuple[onnx.NodeProto, int, int]]]) -> None:
    """Puts one Slice behind each value of which several readers want the first token. A Gather takes it by itself."""
    made: dict[str, list[onnx.NodeProto]] = {}
    for name, requests in asked.items():
        for axis in sorted({axis for _reader, _place, axis in requests}):
            wanting = [(reader, index) for reader, index, own in requests if own == axis and reader.op_type != "Gather"]
            if not wanting:
                continue
            first = f"{name}_first_{axis}"
            bounds = [_constant(graph, f"first_{what}", [what]) for what in (0, 1)]
            along = _constant(graph, f"axis_{axis}", [axis])
            made.setdefault(name, []).append(helper.make_node("Slice", [name, *bounds, along], [first], name=first))
            for reader, index in wanting:
                reader.input[index] = first
    nodes = []
    for value in graph.graph.input:
        nodes.extend(made.get(value.name, []))
    for node in graph.graph.node:
        nodes.append(node)
        for output in node.output:
            nodes.extend(made.get(output, []))
    set_nodes(graph, nodes)


def _takes_first(node: onnx.NodeProto, tensors: dict[str, onnx.TensorProto]) -> bool:
    """Whether it is the Gather that takes the first token of [batch, length, width]."""
    if node.op_type != "Gather" or node.input[1] not in tensors or node.input[0] in tensors:
        return False
    axis = {attribute.name: attribute.i for attribute in node.attribute}.get("axis", 0)
    index = numpy_helper.to_array(tensors[node.input[1]])
    return axis == 1 and index.size == 1 and int(index.reshape(-1)[0]) == 0


def _axis_of(node: onnx.NodeProto | None) -> int | None:
    """Which axis of the token ids or the mask a Shape node reads."""
    if (
        node is None
        or node.op_type != "Shape"
        or node.input[0] not in ("input_ids", "attention_mask", "token_type_ids")
    ):
        return None
    bounds = {attribute.name: attribute.i for attribute in node.attribute}
    start = bounds.get("start", 0)
    return start if bounds.get("end") == start + 1 else None


def _shapes(graph: onnx.ModelProto) -> dict[str, list[int | str]]:
    return {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.graph.value_info, *graph.graph.input, *graph.graph.output)
    }


def _shape_of(
    name: str, shapes: dict[str, list[int | str]], tensors: dict[str, onnx.TensorProto]
) -> list[int | str] | None:
    return list(tensors[name].dims) if name in tensors else shapes.get(name)


def _small(tensor: onnx.TensorProto) -> bool:
    return len(tensor.dims) <= 1 and sum(tensor.dims) <= 8


def _constant(graph: onnx.ModelProto, name: str, values: list[int]) -> str:
    """Name of an int64 constant [n], made where it is not there yet."""
    if name not in initializers(graph):
        tensor = helper.make_tensor(name, onnx.TensorProto.INT64, [len(values)], values)
        graph.graph.initializer.append(tensor)
    return name
