"""N:M sparsity: of every M weights in a row, N are left. Sparse tensor cores compute 2:4 at twice the speed.

Groups lie along the input dimension, without gaps, from the first input on.
Source: Mishra et al. 2021, arXiv:2104.08378, section 3 (2:4); Zhou et al. 2021, arXiv:2102.04010 (N:M).
"""

import torch
from torch import Tensor, nn

from hone.tasks.errors import ModelError
from hone.tasks.model.architectures.linears import inner_linears, weight_of

UNSTRUCTURED = "unstructured"


def numbers_of(pattern: str) -> tuple[int, int] | None:
    """N and M of `prune.pattern`; None where weights may be zero anywhere."""
    if pattern == UNSTRUCTURED:
        return None
    left, size = pattern.split(":")
    return int(left), int(size)


def largest_of_groups(scores: Tensor, left: int, size: int) -> Tensor:
    """Which weights stay, bool [out, in]: in each group of `size` inputs the `left` highest scores; of equals the
    first.

    Args:
        scores: [out, in], where in is a multiple of `size`.
    """
    groups = scores.detach().unflatten(1, (-1, size))
    indices = torch.sort(groups, dim=-1, descending=True, stable=True).indices[..., :left]
    return torch.zeros_like(groups, dtype=torch.bool).scatter_(-1, indices, True).flatten(1)


def groups_kept(weight: Tensor, left: int, size: int) -> tuple[int, int]:
    """How many groups of a weight [out, in] have at most `left` weights that are not zero, and how many groups there
    are. Inputs that fill no group are not counted."""
    whole = weight.shape[1] // size * size
    groups = weight.detach()[:, :whole].unflatten(1, (-1, size))
    return int(((groups != 0).sum(dim=-1) <= left).sum()), groups.shape[0] * groups.shape[1]


def share_of_groups_kept(model: nn.Module, left: int, size: int) -> float:
    """Share of the groups in all linear layers that have at most `left` weights that are not zero, counted."""
    counts = [groups_kept(weight_of(model, name), left, size) for name in inner_linears(model)]
    return sum(kept for kept, _all in counts) / sum(groups for _kept, groups in counts)


def check_widths(model: nn.Module, pattern: str) -> None:
    """Whether every linear layer's inputs can be cut into whole groups.

    Raises:
        ModelError: naming each layer whose inputs cannot, and what to set instead.
    """
    numbers = numbers_of(pattern)
    if numbers is None:
        return
    size = numbers[1]
    widths = {name: weight_of(model, name).shape[1] for name in inner_linears(model)}
    uneven = [f"{name} ({width} inputs)" for name, width in widths.items() if width % size]
    if uneven:
        raise ModelError(
            f"prune.pattern is '{pattern}', and these linear layers have no multiple of {size} inputs: "
            f"{', '.join(uneven)}: set prune.pattern=unstructured, or another pattern, or take an encoder whose widths "
            f"are multiples of {size}"
        )
