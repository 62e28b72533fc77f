"""Wanda: a weight matters by its magnitude times the norm of the input it multiplies, S_ij = |W_ij| * ||X_j||_2.

Weights of one output are compared with each other, and in each output the same share goes, or in each N:M group. Block
by block: a layer's norms are those of inputs that blocks pruned before it have made.

Source: Sun et al. 2023, arXiv:2306.11695, equation 1 and section 3.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hone.tasks.model.architectures.linears import inner_linears, weight_of
from hone.tasks.model.training.modifier import Calibration
from hone.tasks.prune.inputs import blocks, input_norms
from hone.tasks.prune.masks import Mask, zero_where_not
from hone.tasks.prune.patterns import check_widths, largest_of_groups, numbers_of


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
