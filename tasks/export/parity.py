"""Whether an exported graph answers as the PyTorch model it came from, on real rows."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from transformers import PreTrainedModel

from tasks.errors import ExportError
from tasks.model.text import TokenizedText, make_batch, model_inputs

BATCHES = (1, 2, 7, 16, 32)
"""Sizes of the batches compared; together with rows of many lengths they show a shape that was frozen by mistake."""
ROUNDING = 0.05
"""Largest root mean square difference of integer logits, as a share of the logits' own spread. Products of integers and
fake-quantised ones differ by 1e-7, until one of those falls on the other side of a rounding: measured 0.002 on 3 layers
of MiniLM trained on SST-2, where not one label changed. A scale at the wrong place costs more than 0.5."""


def compare(
    session: onnxruntime.InferenceSession, model: PreTrainedModel, text: TokenizedText, pad_id: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Logits [rows, labels] of the session and of the model, over the same batches of several sizes and lengths."""
    wanted = [value.name for value in session.get_inputs()]
    answers, expected = [], []
    for rows in _batches(text):
        batch = make_batch(text, rows, pad_id, "cpu")
        with torch.no_grad():
            expected.append(model(**model_inputs(batch)).logits.float().numpy())
        answers.append(session.run(["logits"], {name: batch[name].numpy() for name in wanted})[0])
    return np.concatenate(answers), np.concatenate(expected)


def check_float(
    name: str, answers: npt.NDArray[np.float32], expected: npt.NDArray[np.float32], tolerance: float
) -> float:
    """Largest absolute difference of a logit.

    Raises:
        ExportError: when it is above the tolerance.
    """
    difference = float(np.abs(answers - expected).max())
    if not difference <= tolerance:
        raise ExportError(
            f"{name}: a logit of the exported fp32 graph differs by {difference:.3g} from PyTorch's, and "
            f"export.tolerance allows {tolerance:g}: raise it if that is acceptable, or try another export.opset"
        )
    return difference


def check_integer(name: str, answers: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """Largest absolute difference of a logit between the integer graph and the model that rounds as it does.

    Raises:
        ExportError: when they differ by more than roundings that fell on the other side.
    """
    difference = answers - expected
    spread = max(float(expected.std()), float(np.finfo(np.float32).tiny))
    share = float(np.sqrt((difference**2).mean())) / spread
    if not share <= ROUNDING:
        raise ExportError(
            f"{name}: logits of the integer graph differ from those of the fake-quantised model by {share:.3g} of "
            f"their spread (root mean square), and rounding explains {ROUNDING:g}: this onnxruntime computes something "
            "else; "
            "set quantize.method=none to ship fp32"
        )
    return float(np.abs(difference).max())


def _batches(text: TokenizedText) -> Iterator[npt.NDArray[np.int64]]:
    """Each row once: the sizes in turn, the lengths as they come."""
    start, turn = 0, 0
    while start < len(text):
        size = BATCHES[turn % len(BATCHES)]
        yield np.arange(start, min(start + size, len(text)))
        start, turn = start + size, turn + 1
