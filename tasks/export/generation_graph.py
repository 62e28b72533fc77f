"""A decoder's graph that generates: with a cache of keys and values, as onnxruntime-genai's model builder makes it.

What transformers computes with dozens of nodes is one here (GroupQueryAttention, SkipSimplifiedLayerNormalization), and
the same graph scores a text, given an empty cache. onnxruntime-genai runs it with `genai_config.json` beside it.
"""

import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from transformers import PreTrainedModel

from hone.tasks.errors import ExportError
from hone.tasks.model.architectures.layers import architecture
from hone.tasks.model.architectures.linears import Linear, inner_linears, matrix

CONFIG = "genai_config.json"
_SCALING = "/model/embed_tokens/Mul"
_SIZES = 16
"""The kernel of grouped heads wants their size to be a multiple of this."""


def builds(model: PreTrainedModel) -> bool:
    """Whether the model builder knows the family, and makes of this very model a graph that its kernels run and that
    computes what the model does: it takes each layer with as many outputs as there are tokens for the head, and where
    attention sees a window it wants a cache of that size, which an empty one is not."""
    config = model.config
    if not architecture(config.model_type).cached or getattr(config, "sliding_window", None):
        return False
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    inner = {matrix(model.get_submodule(name)).shape[0] for name in inner_linears(model)}
    return head_size % _SIZES == 0 and config.vocab_size not in inner


def generation_graph(name: str, checkpoint: Path, model: PreTrainedModel) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The fp32 graph of a checkpoint, and onnxruntime-genai's settings for it.

    `input_ids` [batch, length], `attention_mask` [batch, past + length] int64 and for each layer N
    `past_key_values.N.key` and `.value` [batch, groups, past, head size] to `logits` [batch, length, vocabulary] and
    `present.N.key` and `.value` [batch, groups, past + length, head size], fp32. Padding may stand behind a text alone.
    A linear layer is a MatMul with the weight [in, out]; several that read the same may be one (`rows_of`).

    Args:
        name: what errors call the model.
        model: of the checkpoint.

    Raises:
        ExportError: when onnxruntime-genai is not there, or cannot make it.
    """
    if find_spec("onnxruntime_genai") is None:
        raise ExportError(
            f"{name}: the graph of a decoder is made by onnxruntime-genai, which is not installed: "
            "pip install 'hone[generation]'"
        )
    with tempfile.TemporaryDirectory(prefix="hone-builder-") as room:
        _build(name, checkpoint, Path(room))
        graph = onnx.load(Path(room) / "model.onnx")
        config = json.loads((Path(room) / CONFIG).read_text(encoding="utf-8"))
    config["model"]["decoder"]["session_options"] = {"log_id": "hone", "provider_options": []}
    _name_axes(graph, config["model"]["decoder"]["head_size"])
    _scale_embeddings(graph, model)
    graph.producer_name, graph.producer_version, graph.doc_string = "hone", "", ""
    return graph, config


def rows_of(model: PreTrainedModel, node: onnx.NodeProto, weight: Any) -> list[tuple[str, int, int]]:
    """Which linear layers a product computes: dotted name, first row and the one behind the last, in their order.

    Layers that read the same values may be one product, and one layer may be two. They are told by their weights.

    Args:
        weight: of the node, [in, out].

    Raises:
        ExportError: where the weight is none of the model's.
    """
    wanted = torch.tensor(weight).T  # a copy, as what a graph holds may not be written
    owner = _layer_path(model, node.name)
    names, parts = [], []
    for path, module in model.named_modules():
        inside = path.startswith(owner) and isinstance(module, Linear)
        if inside and matrix(module).shape[1] == wanted.shape[1]:
            names.append(path)
            parts.append(matrix(module).detach())
    together = torch.cat(parts) if parts else wanted[:0]
    for start in (together == wanted[0]).all(dim=1).nonzero()[:, 0].tolist():
        end = start + len(wanted)
        if end <= len(together) and torch.equal(together[start:end], wanted):
            return list(_spans(names, [len(part) for part in parts], start, end))
    raise ExportError(f"{node.name}: its weight is no linear layer's of the model; report the model type")


def _spans(names: list[str], sizes: list[int], start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """Which rows of which layers stand between two rows of all of them, one below the other."""
    begin = 0
    for name, size in zip(names, sizes, strict=True):
        first, last = max(start, begin), min(end, begin + size)
        if first < last:
            yield name, first - begin, last - begin
        begin += size


def _layer_path(model: PreTrainedModel, node: str) -> str:
    """Where the layers lie that a node of the builder's may be: `/model/layers.3/...` is below that layer."""
    parts = node.strip("/").split("/")
    if len(parts) > 2 and parts[1].startswith("layers."):
        prefix = model.base_model_prefix
        return f"{prefix}.{architecture(model.config.model_type).layers}.{parts[1].removeprefix('layers.')}."
    return "lm_head"


def _build(name: str, checkpoint: Path, room: Path) -> None:
    """The builder talks, also of what is no concern here; its errors are raised all the same."""
    from onnxruntime_genai.models import builder

    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            options = builder.parse_extra_options(
                None, str(checkpoint), str(room), "fp32", "cpu", str(room), ["hf_token=false"]
            )
            builder.create_model(None, str(checkpoint), str(room), "fp32", "cpu", str(room), **options)
    except (Exception, SystemExit) as problem:
        raise ExportError(
            f"{name}: onnxruntime-genai's model builder cannot make its graph: {type(problem).__name__}: {problem}"
        ) from problem
    finally:
        logging.disable(level)


def _name_axes(graph: onnx.ModelProto, head_size: int) -> None:
    """Gives the cache its head size, so that whoever runs the graph can make an empty one by what the graph says."""
    for value in (*graph.graph.input, *graph.graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param == "kv_cache_dim":
                axis.dim_value = head_size


def _scale_embeddings(graph: onnx.ModelProto, model: PreTrainedModel) -> None:
    """Gemma multiplies what it looks up by the square root of its width, which the builder rounds to two decimals."""
    scale = getattr(model.get_input_embeddings(), "embed_scale", None)
    for node in graph.graph.node:
        if scale is not None and node.name == _SCALING:
            exact = np.asarray(float(scale), np.float32)
            graph.graph.initializer.append(numpy_helper.from_array(exact, "model.embed_tokens.scale"))
            node.input[1] = "model.embed_tokens.scale"
