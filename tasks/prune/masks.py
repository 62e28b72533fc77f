"""What methods that zero weights and keep the shape have in common: where they zero, how they hold, what they count."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hone.configs.model import PruneSettings
from hone.tasks.model.architectures.linears import inner_linears, weight_of
from hone.tasks.model.training.sparsity_mask import SparsityMask
from hone.tasks.prune.patterns import numbers_of, share_of_groups_kept


class Mask(SparsityMask):
    """A modifier whose zeros are held while the rest trains; a method adds how they are chosen."""

    def __init__(self, settings: PruneSettings) -> None:
        self.settings = settings

    def finish(self, model: PreTrainedModel) -> dict[str, Any]:
        """For an N:M pattern, the share of groups that keep it, counted."""
        numbers = numbers_of(self.settings.pattern)
        if numbers is None:
            return {}
        share = share_of_groups_kept(model, *numbers)
        return {"pattern": self.settings.pattern, "groups_that_keep_the_pattern": share}


def linear_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights [out, in] of all linear layers but the table of tokens (`inner_linears`), by the layer's dotted
    name."""
    return {name: weight_of(model, name) for name in inner_linears(model)}


def zero_where_not(weight: Tensor, stays: Tensor) -> None:
    """Sets weights to zero in place, but where `stays` is true."""
    with torch.no_grad():
        weight.mul_(stays)


def sparsity_of(model: nn.Module) -> float:
    """Share of exact zeros among the weights of all linear layers, counted."""
    weights = linear_weights(model).values()
    return 1 - sum(int(torch.count_nonzero(weight)) for weight in weights) / sum(weight.numel() for weight in weights)
