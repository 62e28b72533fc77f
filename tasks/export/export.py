"""One checkpoint as one ONNX model: exported, rewritten, rounded where it is to be, written, and compared."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.errors import ExportError
from tasks.export.folder import write_folder
from tasks.export.graph import export_onnx
from tasks.export.integer import quantize_graph
from tasks.export.lean import lean
from tasks.export.parity import check_float, check_integer, compare
from tasks.model.checkpoint import count_parameters, load_model, load_tokenizer
from tasks.model.fake_quantization import FILE, attach, first_token_linears, read_plan
from tasks.model.sessions import create_session
from tasks.model.text import Rows, tokenize

PARITY_ROWS = 256
"""Rows of the test split that are compared, evenly over it."""


@dataclass(frozen=True)
class Exported:
    """What was written, and how near it is to its source."""

    precision: str
    """fp32 or int8."""
    parameters: int
    graph_bytes: int
    parity_max_abs_diff: float


def export_checkpoint(
    name: str,
    checkpoint: Path,
    folder: Path,
    *,
    rows: Rows,
    opset: int,
    tolerance: float,
    max_length: int,
    for_cpu: bool,
) -> Exported:
    """Exports a checkpoint, to integers where `quantization.json` lies in it.

    Args:
        name: what errors call the model.
        folder: to be made.
        rows: real text on which the graph is compared with the checkpoint.
        for_cpu: whether the preferred provider is the CPU.

    Raises:
        ExportError: when the graph does not answer as the checkpoint.
    """
    model, tokenizer = load_model(checkpoint), load_tokenizer(checkpoint)
    plan = read_plan(checkpoint) if (checkpoint / FILE).exists() else None
    parameters, _nonzero = count_parameters(model)
    graph = export_onnx(model, tokenizer, opset)
    wanted = first_token_linears(model)
    narrowed = lean(graph, first_token=bool(wanted), for_cpu=for_cpu)
    if plan is not None:
        if sorted(narrowed) != sorted(plan.first_token):
            raise ExportError(
                f"{name}: the graph computes {narrowed or 'nothing'} for the first token alone, and training rounded "
                f"{list(plan.first_token) or 'nothing'} so: the exporter changed the form of the graph; "
                "set quantize.method=none to ship fp32"
            )
        quantize_graph(graph, model, plan)
        attach(model, plan)
    graph_bytes = write_folder(graph, model, tokenizer, folder)
    session = create_session(folder / "model.onnx", ["cpu"])
    sample = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), PARITY_ROWS)).astype(np.int64))
    some = Rows(
        texts=[rows.texts[row] for row in sample],
        pairs=None if rows.pairs is None else [rows.pairs[row] for row in sample],
        labels=rows.labels[sample],
    )
    answers, expected = compare(session, model, tokenize(tokenizer, some, max_length), int(tokenizer.pad_token_id))
    check = check_float(name, answers, expected, tolerance) if plan is None else check_integer(name, answers, expected)
    return Exported("fp32" if plan is None else "int8", parameters, graph_bytes, check)
