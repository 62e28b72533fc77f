"""What linear layers read on calibration rows: what one-shot methods weigh weights by."""

import re
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from hone.tasks.errors import TrainingError
from hone.tasks.model.architectures.linears import weight_of
from hone.tasks.model.text import Batch, model_inputs

BLOCK = re.compile(r"(.*?\.\d+)\.")
"""A layer of the model in a dotted name, up to its number."""


def blocks(names: Iterable[str]) -> list[list[str]]:
    """Linear layers that are pruned together: those of one layer of the model, and each of the others alone, in the
    order of the model."""
    found: dict[str, list[str]] = {}
    for name in names:
        inside = BLOCK.match(name)
        found.setdefault(inside[1] if inside else name, []).append(name)
    return list(found.values())


def read_inputs(
    model: nn.Module, names: list[str], batches: Iterable[Batch], take: Callable[[str, Tensor], None]
) -> None:
    """Runs the rows through the model, in evaluation mode, and hands over what these linear layers read of each batch:
    [tokens, in] fp32, all tokens but padding."""
    mask: list[Tensor] = []
    """Which tokens of the batch at hand are no padding."""

    def taker(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            values = inputs[0].detach().float()
            # A pooler reads one vector a row, and relative positions are no tokens: of these all count.
            if values.dim() == 3 and values.shape[:2] == mask[0].shape:
                values = values[mask[0]]
            take(name, values.flatten(0, -2))

        return hook

    handles = [model.get_submodule(name).register_forward_pre_hook(taker(name)) for name in names]
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


def input_norms(model: nn.Module, names: list[str], batches: Iterable[Batch]) -> dict[str, Tensor]:
    """||X_j||_2 of each input of these linear layers, [in] fp32 on the CPU, over all tokens but padding.

    Raises:
        TrainingError: when an input is not finite.
    """
    squares = {name: torch.zeros(weight_of(model, name).shape[1]).double() for name in names}

    def take(name: str, values: Tensor) -> None:
        squares[name] += values.square().sum(dim=0).cpu().double()

    read_inputs(model, names, batches, take)
    check_finite(squares)
    return {name: found.sqrt().float() for name, found in squares.items()}


def input_products(model: nn.Module, names: list[str], batches: Iterable[Batch]) -> dict[str, Tensor]:
    """X^T X of what these linear layers read, [in, in] fp64 on the model's device, over all tokens but padding: the
    Hessian of half the squared error of each output.

    Raises:
        TrainingError: when an input is not finite.
    """
    products: dict[str, Tensor] = {}

    def take(name: str, values: Tensor) -> None:
        found = (values.T @ values).double()
        products[name] = products[name] + found if name in products else found

    read_inputs(model, names, batches, take)
    check_finite(products)
    return products


def check_finite(found: dict[str, Tensor]) -> None:
    """Refuses what is summed over inputs that are not finite.

    Raises:
        TrainingError: naming the layers.
    """
    broken = [name for name, values in found.items() if not bool(torch.isfinite(values).all())]
    if broken:
        raise TrainingError(
            f"{', '.join(broken)}: what these layers read is not finite, so their weights cannot be weighed: the "
            "student is damaged; lower distill.learning_rate"
        )
