"""Wanda: a weight matters by its magnitude times the norm of the input it multiplies, S_ij = |W_ij| * ||X_j||_2.

Weights of one output are compared with each other, and in each output the same share goes, or in each N:M group. Block
by block: a layer's norms are those of inputs that blocks pruned before it have made.

Source: Sun et al. 2023, arXiv:2306.11695, equation 1 and section 3.
"""

import re
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hone.tasks.errors import TrainingError
from hone.tasks.model.architectures.linears import inner_linears, weight_of
from hone.tasks.model.text import Batch, model_inputs
from hone.tasks.model.training.modifier import Calibration
from hone.tasks.prune.masks import Mask, zero_where_not
from hone.tasks.prune.patterns import check_widths, largest_of_groups, numbers_of

BLOCK = re.compile(r"(.*?\.\d+)\.")
"""A layer of the encoder in a dotted name, up to its number."""


class Wanda(Mask):
    """Zeroes the weights of the lowest scores at once, a share of each output's or all but N of every M."""

    def prepare(self, model: PreTrainedModel, calibration: Calibration) -> list[int]:
        """Runs the rows through the model once for each of its blocks, and zeroes that block's weights.

        Raises:
            ModelError: when a layer's inputs cannot be cut into groups of M.
            TrainingError: when what a layer reads is not finite.
        """
        check_widths(model, self.settings.pattern)
        numbers = numbers_of(self.settings.pattern)
        for names in blocks(inner_linears(model)):
            norms = input_norms(model, names, calibration.batches())
            for name in names:
                weight = weight_of(model, name)
                found = scores(weight, norms[name])
                if numbers is None:
                    zero_where_not(weight, largest_of_rows(found, self.settings.sparsity))
                else:
                    zero_where_not(weight, largest_of_groups(found, *numbers))
        return super().prepare(model, calibration)


def scores(weight: Tensor, norms: Tensor) -> Tensor:
    """S_ij = |W_ij| * ||X_j||_2, [out, in] for a weight [out, in] and norms [in].

    Inputs that are zero in every row, or that no row reaches, would make their weights equal: nothing tells which of
    them matter, and the first ones stay.
    """
    return weight.detach().abs() * norms.to(weight.device)


def largest_of_rows(found: Tensor, sparsity: float) -> Tensor:
    """Which weights stay, bool [out, in]: in each output all but the lowest share; of equals the first."""
    stay = found.shape[1] - int(sparsity * found.shape[1])
    indices = torch.sort(found, dim=1, descending=True, stable=True).indices[:, :stay]
    return torch.zeros_like(found, dtype=torch.bool).scatter_(1, indices, True)


def blocks(names: Iterable[str]) -> list[list[str]]:
    """Linear layers that are pruned together: those of one layer of the encoder, and each of the others alone, in the
    order of the model."""
    found: dict[str, list[str]] = {}
    for name in names:
        inside = BLOCK.match(name)
        found.setdefault(inside[1] if inside else name, []).append(name)
    return list(found.values())


def input_norms(model: PreTrainedModel, names: list[str], batches: Iterable[Batch]) -> dict[str, Tensor]:
    """||X_j||_2 of each input of these linear layers, [in] fp32 on the CPU, over all tokens but padding; the model is
    in evaluation mode meanwhile.

    Raises:
        TrainingError: when an input is not finite.
    """
    layers = {name: model.get_submodule(name) for name in names}
    squares = {name: torch.zeros(weight_of(model, name).shape[1]).double() for name in names}
    mask: list[Tensor] = []
    """Which tokens of the batch at hand are no padding."""

    def adder(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def add(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            values = inputs[0].detach().float()
            # A pooler reads one vector a row, and relative positions are no tokens: of these all count.
            if values.dim() == 3 and values.shape[:2] == mask[0].shape:
                values = values[mask[0]]
            squares[name] += values.flatten(0, -2).square().sum(dim=0).cpu().double()

        return add

    handles = [layer.register_forward_pre_hook(adder(name)) for name, layer in layers.items()]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                mask[:] = [batch["attention_mask"].bool()]
                model(**model_inputs(batch))
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    broken = [name for name, found in squares.items() if not bool(torch.isfinite(found).all())]
    if broken:
        raise TrainingError(
            f"{', '.join(broken)}: what these layers read is not finite, so their weights cannot be weighed: the "
            "student is damaged; lower distill.learning_rate"
        )
    return {name: found.sqrt().float() for name, found in squares.items()}
