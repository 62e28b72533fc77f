"""Zeros that stay zeros: a pruning mask, held while what is left trains on."""

from collections.abc import Callable

import torch
from torch import nn
from transformers import PreTrainedModel

from hone.tasks.model.architectures.linears import inner_linears, weight_of
from hone.tasks.model.training.modifier import Unmodified


class SparsityMask(Unmodified):
    """Weights of linear layers that are zero when training begins are zero after every step: a mask, whoever set it."""

    _hold: Callable[[], None]

    def begin(self, model: PreTrainedModel) -> None:
        """Remembers where the zeros are. A resumed run has them in the same places."""
        self._hold = sparsity_mask(model)

    def after_step(self) -> None:
        """Sets them to zero again."""
        self._hold()


def sparsity_mask(model: nn.Module) -> Callable[[], None]:
    """A function that sets the weights of linear layers that are zero now to zero again; layers without
    one cost nothing."""
    found = {name: weight_of(model, name) for name in inner_linears(model)}
    weights = {name: weight for name, weight in found.items() if not bool((weight != 0).all())}
    masks = {name: weight.detach() != 0 for name, weight in weights.items()}

    def hold() -> None:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.mul_(masks[name])

    return hold
