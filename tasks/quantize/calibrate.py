"""Fixed scales for the inputs of linear layers: those that lose least on training rows."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tasks.model.fake_quantization import Plan
from tasks.model.text import TokenizedText, model_inputs
from tasks.quantize.measure import batches

VALUES_A_BATCH = 4096
"""Magnitudes kept of each layer's input in each batch, evenly over it, besides the largest."""
CANDIDATES = np.linspace(0.2, 1.0, 81)
"""Shares of the largest magnitude that are tried as the clipping point."""


def calibrate(
    model: PreTrainedModel, plan: Plan, text: TokenizedText, rows: npt.NDArray[np.int64], pad_id: int
) -> dict[str, float]:
    """The scale of each linear layer's input, by the model as it is in fp32 on these rows.

    Where the graph computes the first token alone, that token alone counts.
    """
    seen: dict[str, list[Tensor]] = {name: [] for name in plan.linears}
    handles = [
        model.get_submodule(name).register_forward_pre_hook(_recorder(seen[name], name in plan.first_token))
        for name in plan.linears
    ]
    try:
        with torch.no_grad():
            for batch in batches(model, text, rows, pad_id):
                model(**model_inputs(batch))
    finally:
        for handle in handles:
            handle.remove()
    return {name: best_scale(torch.cat(magnitudes)) for name, magnitudes in seen.items()}


def best_scale(magnitudes: Tensor) -> float:
    """The scale s whose rounding min(round(x / s), 127) * s has the least mean squared error.

    Clipping the few largest costs them, and makes all others finer.

    Args:
        magnitudes: absolute values [n].

    Source: Choukroun et al. 2019, arXiv:1902.06822 (minimum mean squared error of activations).
    """
    largest = float(magnitudes.max())
    if largest == 0:
        return 1.0
    losses = []
    for share in CANDIDATES:
        scale = share * largest / 127
        rounded = (magnitudes / scale).round_().clamp_(max=127).mul_(scale)
        losses.append(float(torch.mean((rounded - magnitudes) ** 2)))
    return float(np.float32(CANDIDATES[int(np.argmin(losses))] * largest / 127))


def _recorder(into: list[Tensor], first_token: bool) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def record(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].detach().float()
        if first_token and values.dim() == 3:
            values = values[:, :1]
        magnitudes = values.abs().flatten()
        step = max(1, len(magnitudes) // VALUES_A_BATCH)
        into.append(torch.cat([magnitudes[::step], magnitudes.max()[None]]).cpu())

    return record
