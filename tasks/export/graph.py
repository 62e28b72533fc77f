"""A PyTorch model as an fp32 ONNX graph with dynamic batch and length.

torch's dynamo exporter writes it: its graph has a third of the nodes of the TorchScript exporter's, knows every shape,
and says of each node which module it came from. That last is used here to name weights after their layers, and then
removed with everything else that differs between two machines: the same checkpoint gives the same bytes.
"""

import ast
import copy
import functools
import inspect
import io
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hone.tasks.errors import ExportError
from hone.tasks.model.architectures.layers import architecture
from hone.tasks.model.text import MODEL_INPUTS
from hone.tasks.objectives.learning import learning_of

SINGLE_FILE_BYTES = 2**31 - 1
"""Above this protobuf cannot hold a graph, and its weights lie beside it in `model.onnx.data`."""


def export_onnx(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, opset: int) -> onnx.ModelProto:
    """The graph of a model in evaluation mode: `input_ids`, `attention_mask`, and `token_type_ids` where the tokenizer
    gives them, [batch, length] int64, to `logits` [batch, labels] fp32, or [batch, length, labels] where the model
    answers each token or predicts the next, or to `start_logits` and `end_logits` [batch, length] where it answers
    questions. Names and axes are those that Optimum's ORTModelFor... classes expect.

    Of a decoder `logits` are [batch, length, vocabulary], those of a token by it and the tokens before it; padding may
    stand before the text or behind it. There is no cache: the graph scores texts, and does not go on with them.

    A linear layer `x.y` is a MatMul of that name, whose second input is its weight [in, out], or the transpose of an
    embedding table that it shares; an embedding table is the
    first input of the Gather of its name; where one is used several times, `layer_of` says whose use a node is.
    `value_info` holds all shapes.
    """
    names = [name for name in MODEL_INPUTS if name in tokenizer.model_input_names]
    ids = torch.arange(16).reshape(2, 8) % model.config.vocab_size
    examples = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    outputs = learning_of(model.config).outputs
    dynamic = torch.export.Dim.DYNAMIC
    _make_operators_once()
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            _Logits(model, names, outputs).eval(),
            tuple(examples[name] for name in names),
            dynamo=True,
            opset_version=opset,
            input_names=names,
            output_names=list(outputs),
            dynamic_shapes=(tuple({0: dynamic, 1: dynamic} for _name in names),),
            verbose=False,
        )
    if program is None:
        raise ExportError("torch's exporter gave no graph, and says not why: try another export.opset")
    graph = program.model_proto
    _products_of_matrices(graph)
    _name_parts(graph)
    _name_axes(graph)
    _strip(graph)
    return graph


def write_onnx(graph: onnx.ModelProto, path: Path, limit: int = SINGLE_FILE_BYTES) -> int:
    """Writes and checks a graph, without the shapes in between, in one file up to `limit` bytes; returns the bytes
    written. A graph with operators of onnxruntime's own is checked by onnxruntime, when it is opened.

    Raises:
        onnx.checker.ValidationError: when the graph is not valid ONNX.
    """
    del graph.graph.value_info[:]
    if graph.ByteSize() <= limit:
        path.write_bytes(graph.SerializeToString(deterministic=True))
    else:
        onnx.save(graph, path, save_as_external_data=True, location=f"{path.name}.data")
    if all(used.domain in ("", "ai.onnx") for used in graph.opset_import):
        onnx.checker.check_model(path, full_check=True)
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def initializers(graph: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Constant tensors by name."""
    return {tensor.name: tensor for tensor in graph.graph.initializer}


def weights_read(graph: onnx.ModelProto) -> set[str]:
    """Names of what a product may read as its weight: a constant, or the transpose of one, as of a table that is both
    looked up and multiplied by (tied embeddings)."""
    constants = {tensor.name for tensor in graph.graph.initializer}
    flipped = {
        node.output[0] for node in graph.graph.node if node.op_type == "Transpose" and node.input[0] in constants
    }
    return constants | flipped


def layer_of(node: onnx.NodeProto) -> str:
    """The layer or table that a node is a use of. The first use is named as it, and others `NAME@2` and so on."""
    return node.name.partition("@")[0]


def set_nodes(graph: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Makes these the graph's nodes, of which some may be its own already, and drops nodes and constants that reach no
    output."""
    needed = {value.name for value in graph.graph.output}
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(copy.deepcopy(node))
            needed.update(node.input)
    del graph.graph.node[:]
    graph.graph.node.extend(reversed(kept))
    for index in reversed(range(len(graph.graph.initializer))):
        if graph.graph.initializer[index].name not in needed:
            del graph.graph.initializer[index]


class _Logits(nn.Module):
    """Ids in, logits out. An encoder's mask is handed over as what is added to the attention scores, which spares the
    graph the twenty nodes with which transformers makes that of it. A decoder makes its own mask, and is told where the
    tokens stand, as it would count padding before them."""

    def __init__(self, model: PreTrainedModel, names: list[str], outputs: Sequence[str]) -> None:
        super().__init__()
        self.hone = model
        self._names, self._outputs = names, outputs
        self._places = "position_ids" in inspect.signature(model.forward).parameters

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        given: dict[str, Any] = dict(zip(self._names, values, strict=True))
        if architecture(self.hone.config.model_type).adds_mask:
            absent = 1.0 - given["attention_mask"][:, None, None, :].to(torch.float32)
            given["attention_mask"] = absent * torch.finfo(torch.float32).min
        if self.hone.can_generate():
            given["use_cache"] = False
            if self._places:
                given["position_ids"] = _positions(given["attention_mask"])
        found = self.hone(**given)
        return tuple(found[name] for name in self._outputs)


def _make_operators_once() -> None:
    """Has torch make its table of ONNX functions, which is the same for all graphs of an opset, once a process: it
    makes it anew for each, which takes a second or two."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    if not hasattr(ONNXRegistry.from_torchlib, "cache_info"):
        cached = functools.cache(ONNXRegistry.from_torchlib)
        ONNXRegistry.from_torchlib = staticmethod(cached)  # type: ignore[method-assign]


def _positions(mask: Tensor) -> Tensor:
    """Where each token stands, [batch, length] int64, counted from the first that is no padding; 0 before that. Behind
    the text it goes on, as transformers counts by itself."""
    before = (mask.cumsum(dim=-1) == 0).sum(dim=-1, keepdim=True)
    return (torch.arange(mask.shape[1], device=mask.device)[None] - before).clamp(min=0)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter talks about itself and about libraries that are not needed; its errors are raised all the same."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _module(node: onnx.NodeProto) -> str:
    """Dotted name of the module that a node came from."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes = ast.literal_eval(entry.value)
            return str(scopes[-2]).removeprefix("hone").removeprefix(".") if len(scopes) > 1 else ""
    return ""


def _products_of_matrices(graph: onnx.ModelProto) -> None:
    """Writes Gemm, which the exporter uses for two-dimensional inputs, as MatMul and Add, so that a linear layer looks
    the same everywhere. onnxruntime makes a Gemm of it again."""
    tensors = initializers(graph)
    nodes = []
    for node in graph.graph.node:
        if node.op_type != "Gemm" or node.input[1] not in tensors:
            nodes.append(node)
            continue
        if {attribute.name: attribute.i for attribute in node.attribute}.get("transB", 0):
            node.input[1] = _flipped(graph, tensors, node.input[1])
        bias = node.input[2] if len(node.input) > 2 else ""
        product = f"{node.output[0]}_product" if bias else node.output[0]
        made = [onnx.helper.make_node("MatMul", [node.input[0], node.input[1]], [product], name=f"{node.name}_MatMul")]
        if bias:
            made.append(onnx.helper.make_node("Add", [product, bias], [node.output[0]], name=f"{node.name}_Add"))
        for each in made:
            each.metadata_props.extend(node.metadata_props)
        nodes.extend(made)
    set_nodes(graph, nodes)


def _flipped(graph: onnx.ModelProto, tensors: dict[str, onnx.TensorProto], name: str) -> str:
    """Name of a constant's transpose, made once however many nodes read the constant."""
    flipped = f"{name}_flipped"
    if flipped not in tensors:
        matrix = np.ascontiguousarray(numpy_helper.to_array(tensors[name]).T)
        graph.graph.initializer.append(numpy_helper.from_array(matrix, flipped))
        tensors[flipped] = graph.graph.initializer[-1]
    return flipped


def _name_parts(graph: onnx.ModelProto) -> None:
    """Names products, look-ups and constants as the modules they belong to, without the wrapper. A constant that the
    exporter wrote once for each use is there once."""
    tensors, weights = initializers(graph), weights_read(graph)
    names = {name: name.removeprefix("hone.").removesuffix("_flipped") for name in tensors if name.startswith("hone.")}
    uses: Counter[str] = Counter()
    for node in graph.graph.node:
        held, module = {"MatMul": 1, "Gather": 0}.get(node.op_type, -1), _module(node)
        if held >= 0 and node.input[held] in weights and module:
            uses[module] += 1
            node.name = module if uses[module] == 1 else f"{module}@{uses[module]}"
            if node.input[held] in tensors:
                names.setdefault(node.input[held], f"{module}.weight")
    names = _told_apart({old: names.get(old, old) for old in tensors}, tensors)
    for tensor in graph.graph.initializer:
        tensor.name = names[tensor.name]
    for node in graph.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
    once = list(initializers(graph).values())
    if len(once) < len(graph.graph.initializer):
        once = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in once]
        del graph.graph.initializer[:]
        graph.graph.initializer.extend(once)


def _told_apart(names: dict[str, str], tensors: dict[str, onnx.TensorProto]) -> dict[str, str]:
    """The same with constants that differ named differently: a weight may be read both as it is and flipped."""
    holders: dict[str, onnx.TensorProto] = {}
    for old, wanted in names.items():
        name, number = wanted, 1
        while name in holders and not _equal(holders[name], tensors[old]):
            number += 1
            name = f"{wanted}@{number}"
        holders[name] = tensors[old]
        names[old] = name
    return names


def _equal(one: onnx.TensorProto, other: onnx.TensorProto) -> bool:
    same = (one.data_type, list(one.dims)) == (other.data_type, list(other.dims))
    return same and np.array_equal(numpy_helper.to_array(one), numpy_helper.to_array(other))


def _name_axes(graph: onnx.ModelProto) -> None:
    for value in graph.graph.input:
        for axis, name in zip(value.type.tensor_type.shape.dim, ("batch", "length"), strict=True):
            axis.dim_param = name
    for value in graph.graph.output:
        axes = value.type.tensor_type.shape.dim
        several = axes if value.name.endswith("_logits") else axes[:-1]  # whose last axis is that of the labels
        for axis, name in zip(several, ("batch", "length"), strict=False):
            axis.dim_param = name


def _strip(graph: onnx.ModelProto) -> None:
    """Removes stack traces, paths, versions and notes of the exporter."""
    graph.producer_name, graph.producer_version, graph.doc_string = "hone", "", ""
    graph.graph.name, graph.graph.doc_string = "encoder", ""
    values = [*graph.graph.input, *graph.graph.output, *graph.graph.value_info]
    for part in (graph, graph.graph, *graph.graph.node, *graph.graph.initializer, *values):
        del part.metadata_props[:]
        if not isinstance(part, onnx.ModelProto | onnx.GraphProto):
            part.doc_string = ""
