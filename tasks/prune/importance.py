"""First-order importance: how much the loss would change if a part were shut, estimated from one gradient.

Put a gate g = 1 on a part's output. Shutting it changes an example's loss by about dL/dg * (0 - 1), so the mean of
|dL/dg| over examples ranks the parts. The absolute value stands inside the mean: gradients of a trained model average
to nothing.

Source: Michel et al. 2019, arXiv:1905.10650, equation 2 (heads); the same for neurons, Molchanov et al. 2017,
arXiv:1611.06440, section 2.2; and for the residual branch of a whole layer.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hone.tasks.model.architectures.layers import layer_modules, model_layers
from hone.tasks.model.text import Batch


@dataclass(frozen=True)
class Importance:
    """Mean of |dL/dgate| over examples, fp32; what is higher matters more."""

    heads: list[Tensor]
    """For each layer [groups]: of each head, or of those together that share a key and a value."""
    neurons: list[Tensor]
    """For each layer [neurons]."""
    layers: Tensor
    """[layers]."""


def importance(model: PreTrainedModel, batches: Iterable[Batch], loss_of: Callable[[Batch], Tensor]) -> Importance:
    """Importance of every head, neuron and layer of a model.

    Args:
        model: any mode; it is in evaluation mode meanwhile, as dropout would add noise.
        loss_of: runs the model on a batch and returns the SUM of its rows' losses: each row has gates of its own, so
            the gradient of the sum is the gradient of every row.
    """
    training = model.training
    model.eval()
    totals: list[Tensor] = []
    rows = 0
    for batch in batches:
        count = len(batch["input_ids"])
        with _gated(model, count) as gates, torch.enable_grad():
            gradients = torch.autograd.grad(loss_of(batch), gates)
        sums = [gradient.detach().abs().sum(dim=0).float().cpu() for gradient in gradients]
        totals = [total + new for total, new in zip(totals, sums, strict=True)] if totals else sums
        rows += count
    model.train(training)
    means = [total / rows for total in totals]
    return Importance(heads=means[0::3], neurons=means[1::3], layers=torch.stack(means[2::3]))


@contextmanager
def _gated(model: PreTrainedModel, rows: int) -> Iterator[list[Tensor]]:
    """Gates of value 1, one for each row: for each layer [rows, groups], [rows, neurons] and [rows]."""
    gates: list[Tensor] = []
    handles = []
    for layer, parts in zip(model_layers(model), layer_modules(model), strict=True):
        heads = torch.ones(rows, parts.groups, device=model.device, dtype=model.dtype, requires_grad=True)
        neurons = torch.ones(rows, parts.neurons, device=model.device, dtype=model.dtype, requires_grad=True)
        branch = torch.ones(rows, device=model.device, dtype=model.dtype, requires_grad=True)
        gates += [heads, neurons, branch]
        handles += [
            parts.attention_output.register_forward_pre_hook(_scale_inputs(heads, parts.group_width)),
            parts.feed_out.register_forward_pre_hook(_scale_inputs(neurons, 1)),
            layer.register_forward_hook(_scale_branch(branch), prepend=True),  # before its output is recorded
        ]
    try:
        yield gates
    finally:
        for handle in handles:
            handle.remove()


def _scale_inputs(gate: Tensor, size: int) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """Multiplies `size` inputs of a linear layer by each gate."""

    def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0] * gate.repeat_interleave(size, dim=1)[:, None, :].to(inputs[0].dtype), *inputs[1:])

    return hook


def _scale_branch(gate: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...], Any], Any]:
    """Shut, the gate makes the layer hand on what it was given."""

    def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        gated = inputs[0] + gate[:, None, None].to(hidden.dtype) * (hidden - inputs[0])
        return (gated, *output[1:]) if isinstance(output, tuple) else gated

    return hook
