"""One checkpoint as one ONNX model: exported, rewritten, rounded where it is to be, and written.

A decoder's graph, for the CPU, is onnxruntime-genai's, which generates; all others are torch's."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hone.tasks.errors import ExportError
from hone.tasks.export.blockwise import quantize_blocks
from hone.tasks.export.folder import write_folder
from hone.tasks.export.generation_graph import CONFIG, builds, generation_graph, rows_of
from hone.tasks.export.graph import export_onnx
from hone.tasks.export.graph_passes import optimize_graph, share_tables
from hone.tasks.export.integer import quantize_graph
from hone.tasks.model.architectures.linears import tied_tables
from hone.tasks.model.checkpoints.checkpoint import count_parameters, load_model, load_tokenizer
from hone.tasks.model.runtime.runtime import TextSettings
from hone.tasks.model.training.fake_quantization import FILE, QuantizationConfig, read_plan

_DEFAULT_TEXTS = TextSettings()


@dataclass(frozen=True)
class Exported:
    """What was written."""

    precision: str
    """fp32, int8, or int4."""
    parameters: int
    graph_bytes: int


def export_checkpoint(
    name: str, checkpoint: Path, folder: Path, *, opset: int, for_cpu: bool, texts: TextSettings = _DEFAULT_TEXTS
) -> Exported:
    """Exports a checkpoint, to integers where `quantization.json` lies in it. Whether the graph answers as the
    checkpoint is measured when the models are evaluated.

    Args:
        name: what errors call the model.
        folder: to be made.
        for_cpu: whether the preferred provider is the CPU.
        texts: what becomes of a text before the model sees it.

    Raises:
        ExportError: when the graph is not of the form that the model was quantised for, or the tokenizer's files read
            texts otherwise than the tokenizer.
    """
    model, tokenizer = load_model(checkpoint), load_tokenizer(checkpoint)
    plan = read_plan(checkpoint) if (checkpoint / FILE).exists() else None
    parameters, _nonzero = count_parameters(model)
    if for_cpu and builds(model) and (plan is None or plan.scheme == "blockwise"):
        graph, generation = generation_graph(name, checkpoint, model)
        if plan is not None:
            quantize_blocks(graph, model, plan, partial(rows_of, model))
    else:
        graph, generation = _traced(name, model, tokenizer, plan, opset=opset, for_cpu=for_cpu), None
    graph_bytes = write_folder(graph, model, tokenizer, folder, texts)
    if generation is not None:
        (folder / CONFIG).write_text(json.dumps(generation, indent=1) + "\n", encoding="utf-8")
    return Exported("fp32" if plan is None else f"int{plan.bits}", parameters, graph_bytes)


def _traced(
    name: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    plan: QuantizationConfig | None,
    *,
    opset: int,
    for_cpu: bool,
) -> onnx.ModelProto:
    """The graph as torch's exporter makes it, without a cache."""
    graph = export_onnx(model, tokenizer, opset)
    first = () if plan is None else plan.first_token
    narrowed = optimize_graph(graph, only=None if plan is None else first, for_cpu=for_cpu)
    if plan is not None:
        if sorted(narrowed) != sorted(first):
            raise ExportError(
                f"{name}: the graph computes {narrowed or 'nothing'} for the first token alone, and training rounded "
                f"{list(first) or 'nothing'} so: the exporter changed the form of the graph; "
                "set quantize.method=none to ship fp32"
            )
        if plan.scheme == "blockwise":
            quantize_blocks(graph, model, plan)
        else:
            quantize_graph(graph, model, plan)
    share_tables(graph, tied_tables(model))
    return graph
