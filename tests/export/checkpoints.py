"""Checkpoints as a stage leaves them, and an exported folder whose head is wrong."""

from pathlib import Path

import numpy as np
import onnx
from transformers import PreTrainedModel

from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer, save_model
from hone.tasks.model.training.fake_quantization import plan_for, snap_to_grid


def write_checkpoint(folder: Path, model: PreTrainedModel, quantized: bool) -> Path:
    """Beside the tokenizer that lies there; where quantised, with its weights on their grids and the plan with them."""
    tokenizer = load_tokenizer(folder)
    save_model(model, tokenizer, folder)
    if quantized:
        model = load_model(folder)
        plan = plan_for(model, "dynamic", tables=True)
        save_model(snap_to_grid(model, plan), tokenizer, folder)
        plan.write(folder)
    return folder


def with_another_head(exported: Path, folder: Path, head: str) -> Path:
    """A copy of an exported folder in which the weights of the layer `head` are half as large again."""
    folder.mkdir()
    for file in exported.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    graph = onnx.load(folder / "model.onnx")
    weight = next(one for one in graph.graph.initializer if one.name.startswith(head) and len(one.dims) == 2)
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(1.5), weight.name))
    onnx.save(graph, folder / "model.onnx")
    return folder
