"""Fixed scales for the inputs of linear layers: those that lose least on training rows."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hone.tasks.errors import TrainingError
from hone.tasks.model.text import TokenizedText, model_inputs
from hone.tasks.model.training.fake_quantization import QuantizationConfig
from hone.tasks.objectives.learning import learning_of
from hone.tasks.quantize.measure import batches

BINS = 2**14
"""Of a histogram: even the finest rounding that is tried has 13 bins a step."""
CANDIDATES = np.linspace(0.2, 1.0, 81)
"""Shares of the largest magnitude that are tried as the clipping point."""


class Histogram:
    """Counts of magnitudes in bins of equal width, from 0 to a power of two that doubles when a larger one comes.

    Every value counts, whichever token and channel it belongs to: channels differ by orders of magnitude.
    """

    def __init__(self) -> None:
        self.counts = torch.zeros(BINS, dtype=torch.float64)
        """[BINS]."""
        self.largest = 0.0
        """The largest magnitude itself."""
        self._top = 0.0

    def add(self, values: Tensor) -> None:
        """Counts the magnitudes of a tensor of any shape, which are finite."""
        magnitudes = values.float().abs().flatten()
        largest = float(magnitudes.max())
        self.largest = max(self.largest, largest)
        if largest > 0 and not self._top:  # so far there were only zeros, all of them in the first bin
            self._top = 2.0 ** math.ceil(math.log2(largest))
        while largest > self._top:
            self.counts = torch.cat([self.counts.view(-1, 2).sum(dim=1), torch.zeros(BINS // 2, dtype=torch.float64)])
            self._top *= 2
        if self._top:
            self.counts += torch.histc(magnitudes, BINS, 0, self._top).double().cpu()
        else:
            self.counts[0] += len(magnitudes)

    @property
    def centres(self) -> Tensor:
        """The magnitude in the middle of each bin, [BINS] fp64."""
        return (torch.arange(BINS, dtype=torch.float64) + 0.5) * (self._top / BINS)


def calibrate(
    model: PreTrainedModel, plan: QuantizationConfig, text: TokenizedText, rows: npt.NDArray[np.int64], pad_id: int
) -> dict[str, float]:
    """The scale of each linear layer's input, by the model as it is in fp32 on these rows.

    Every channel of every token counts, and padding does not. Where the graph computes the first token alone, that
    token alone counts.

    Raises:
        TrainingError: when a layer's input is not finite.
    """
    seen = {name: Histogram() for name in plan.linears}
    mask: list[Tensor] = []
    """Which tokens of the batch at hand are no padding."""
    handles = [
        model.get_submodule(name).register_forward_pre_hook(_recorder(name, seen[name], mask, name in plan.first_token))
        for name in plan.linears
    ]
    try:
        with torch.no_grad():
            for batch in batches(model, text, rows, pad_id, learning_of(model.config).rows_at_once):
                mask[:] = [batch["attention_mask"].bool()]
                model(**model_inputs(batch))
    finally:
        for handle in handles:
            handle.remove()
    return {name: best_scale(found.centres, found.largest, found.counts) for name, found in seen.items()}


def best_scale(magnitudes: Tensor, largest: float, counts: Tensor | None = None) -> float:
    """The scale s whose rounding min(round(x / s), 127) * s has the least mean squared error.

    Clipping the few largest costs them, and makes all others finer.

    Args:
        magnitudes: absolute values [n].
        largest: the largest of them.
        counts: how often each occurs, [n]; None: once.

    Source: Choukroun et al. 2019, arXiv:1902.06822 (minimum mean squared error of activations).
    """
    if largest == 0:
        return 1.0
    weights = torch.ones_like(magnitudes) if counts is None else counts
    losses = []
    for share in CANDIDATES:
        scale = share * largest / 127
        rounded = (magnitudes / scale).round_().clamp_(max=127).mul_(scale)
        losses.append(float(((rounded - magnitudes) ** 2 * weights).sum()))
    return float(np.float32(CANDIDATES[int(np.argmin(losses))] * largest / 127))


def _recorder(
    name: str, into: Histogram, mask: list[Tensor], first_token: bool
) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def record(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].detach()
        if values.dim() == 3 and values.shape[:2] == mask[0].shape:
            values = values[:, 0] if first_token else values[mask[0]]
        if not bool(torch.isfinite(values).all()):
            raise TrainingError(
                f"{name}: what this layer reads is not finite, so no scale can be set for it: the student is damaged; "
                "lower distill.learning_rate and prune.learning_rate"
            )
        into.add(values)

    return record
