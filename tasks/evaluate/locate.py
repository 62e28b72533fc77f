"""Where an exported graph first differs from the PyTorch model it came from.

Graphs are rewritten on their way out, so names of nodes tell little. Both sides run on the same rows with every value
in between looked at, and a layer is found in the graph by what it answered: two values of an encoder that agree to 3%
are the same value.
"""

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import nn

from hone.tasks.model.runtime.predict import session_inputs
from hone.tasks.model.runtime.sessions import create_session
from hone.tasks.model.text import Batch, model_inputs

NEAR: dict[str, float] = {"exact": 1e-4, "integer": 0.03}
"""Largest difference of a layer's output from its counterpart that the kind of hand-off explains, root mean square, as
a share of the output's own. Measured as the worst layer of a batch: fp32 1.2e-6 (MiniLM, 6 layers, SST-2) and 8e-7 (160
draws of tiny encoders); integers 4.5e-3 (3 layers of it) and, in one of 320 draws, 0.027, as a rounding that falls on
the other side moves whatever comes after it. A scale that is wrong by half is 0.5."""

Outputs = list[tuple[str, np.ndarray]]


def first_divergence(model: nn.Module, onnx_file: Path, batch: Batch, kind: Literal["exact", "integer"]) -> str:
    """Dotted name of the first linear layer, embedding table or norm whose output the graph does not have; empty where
    there is none.

    What two layers hand to each other differs only where the first of them does, or what lies between them: a wrong
    attention mask is seen in the layer after the attention. The graph runs without the session's own optimisations but
    for the exact 8-bit product, so a fault of those leaves this empty.

    Args:
        model: on the CPU, in evaluation mode; fake-quantised where the graph computes with integers.
        batch: a few rows of several lengths.
    """
    layers, values = layer_outputs(model, batch), _by_size(graph_values(onnx_file, batch))
    apart = [_distance(output, values) for _name, output in layers]
    # The sum that a norm reads holds all that came before it. Where that is right beyond doubt, a layer that was not
    # found had no part in it, or the exporter wrote it another way.
    norms = [isinstance(model.get_submodule(name), nn.LayerNorm) for name, _output in layers]
    sure = [index + 1 for index, norm in enumerate(norms) if norm and apart[index] <= NEAR[kind] / 10]
    begin = max(sure, default=0)
    return next((name for (name, _), far in zip(layers[begin:], apart[begin:], strict=True) if far > NEAR[kind]), "")


def layer_outputs(model: nn.Module, batch: Batch) -> Outputs:
    """What each embedding table, linear layer and norm answers, in the order in which they run."""
    seen: Outputs = []

    def look(name: str) -> Any:
        return lambda _module, _inputs, output: seen.append((name, output.detach().float().numpy()))

    watched = {
        name: part for name, part in model.named_modules() if isinstance(part, nn.Embedding | nn.Linear | nn.LayerNorm)
    }
    hooks = [part.register_forward_hook(look(name)) for name, part in watched.items()]
    try:
        with torch.no_grad():
            model(**model_inputs(batch))
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def graph_values(onnx_file: Path, batch: Batch) -> list[np.ndarray]:
    """Every fp32 value that a graph computes or holds, in its order; those that it holds come last."""
    graph = onnx.load(onnx_file, load_external_data=False)
    outputs = {value.name for value in graph.graph.output}
    between = [name for node in graph.graph.node for name in node.output if name and name not in outputs]
    graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in between)
    options = onnxruntime.SessionOptions()
    # Where the 8-bit product overflows (see `create_session`), the exact one comes by an optimisation. Every value is
    # an output here, so that no other one joins what is looked at.
    exact = any(node.op_type == "MatMulInteger" for node in graph.graph.node)
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_EXTENDED if exact else levels.ORT_DISABLE_ALL
    with tempfile.TemporaryDirectory() as folder:
        for data in onnx_file.parent.glob(f"{onnx_file.name}.*"):  # weights beside the graph, of a model above 2 GB
            shutil.copy(data, folder)
        watched = Path(folder) / onnx_file.name
        watched.write_bytes(graph.SerializeToString())
        session = create_session(watched, ["cpu"], options=options)
        given = session_inputs([value.name for value in session.get_inputs()], batch)
        computed = session.run(None, given)
    held = [numpy_helper.to_array(tensor, str(onnx_file.parent)) for tensor in graph.graph.initializer]
    return [value for value in [*computed, *held] if value.dtype == np.float32]


def _by_size(values: list[np.ndarray]) -> dict[int, list[np.ndarray]]:
    result: dict[int, list[np.ndarray]] = defaultdict(list)
    for value in values:
        result[value.size].append(value.reshape(-1))
    return result


def _distance(output: np.ndarray, values: dict[int, list[np.ndarray]]) -> float:
    """How far a layer's output is from the nearest of the values, in any of the shapes that a graph may give it: root
    mean square, as a share of the output's own."""
    nearest = np.inf
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is near to nothing
        for form in _forms(output):
            size = max(float(np.linalg.norm(form)), float(np.finfo(np.float32).tiny))
            for value in values.get(form.size, []):
                far = float(np.linalg.norm(value - form.reshape(-1))) / size
                nearest = far if far < nearest else nearest  # NaN is not
    return nearest


def _forms(output: np.ndarray) -> Iterator[np.ndarray]:
    """An output [batch, length, width] as it is; its first token, which is all that an optimized graph computes in the
    last layer; and once, where it is the same for all rows or for all tokens, as embeddings of positions and types
    are."""
    yield output
    if output.ndim == 3:
        yield output[:, 0]
        if (output == output[:1]).all():
            yield output[:1]
            if (output == output[:1, :1]).all():
                yield output[:1, :1]
