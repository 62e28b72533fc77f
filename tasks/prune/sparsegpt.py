"""SparseGPT: a weight goes where its loss is least, and the weights after it in its row make up for it.

With H = X^T X of what the layer reads, setting weight p to zero adds w_p^2 / [H^-1]_pp to the output's squared error if
the others move by -w_p / [H^-1]_pp * [H^-1]_:p (optimal brain surgeon). Columns are gone through from the first to the
last, and those that are done with move no more: then the inverses of all steps are rows of one Cholesky factor,
whatever weights each row loses. Which weights go is chosen for 128 columns at a time over all outputs, or in each N:M
group. Block by block, as in Wanda: a layer's inputs are those that blocks pruned before it have made.

Source: Frantar and Alistarh 2023, arXiv:2301.00774, equations 2 and 3 and algorithm 1; Hassibi et al. 1993.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hone.tasks.model.architectures.linears import inner_linears, weight_of
from hone.tasks.model.training.modifier import Calibration
from hone.tasks.prune.inputs import blocks, input_products
from hone.tasks.prune.masks import Mask
from hone.tasks.prune.patterns import check_widths, largest_of_groups, numbers_of

COLUMNS = 128
"""For which weights are chosen together: B_s of the paper, a multiple of every pattern's groups."""
DAMPING = 0.01
"""Added to the diagonal of H, as a share of its mean, so that there is an inverse (section 4 of the paper)."""


class SparseGPT(Mask):
    """Zeroes weights at once, a share of each 128 columns' or all but N of every M, and moves those that stay."""

    def prepare(self, model: PreTrainedModel, calibration: Calibration) -> list[int]:
        """Runs the rows through the model once for each of its blocks, and rewrites that block's weights.

        Raises:
            ModelError: when a layer's inputs cannot be cut into groups of M.
            TrainingError: when what a layer reads is not finite.
        """
        check_widths(model, self.settings.pattern)
        numbers = numbers_of(self.settings.pattern)
        for names in blocks(inner_linears(model)):
            products = input_products(model, names, calibration.batches())
            for name in names:
                weight = weight_of(model, name)
                with torch.no_grad():
                    weight.copy_(sparsified(weight, products.pop(name), self.settings.sparsity, numbers))
        return super().prepare(model, calibration)


def sparsified(
    weight: Tensor, hessian: Tensor, sparsity: float, numbers: tuple[int, int] | None = None, columns: int = COLUMNS
) -> Tensor:
    """The weight [out, in] with its zeros, and with what stays moved so that the outputs change least; fp64.

    An input that is zero in every row multiplies nothing, and its weights go first.

    Args:
        hessian: X^T X of the inputs [in, in] fp64.
        sparsity: share of zeros, where there is no pattern.
        numbers: N and M of a pattern, of whose M `columns` is a multiple.
    """
    values, hessian = weight.detach().double().clone(), hessian.clone()
    silent = hessian.diagonal() == 0
    values[:, silent] = 0
    hessian.diagonal()[silent] = 1
    hessian.diagonal().add_(DAMPING * hessian.diagonal().mean())
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(hessian)), upper=True)
    for first in range(0, values.shape[1], columns):
        last = min(first + columns, values.shape[1])
        _prune_columns(values, factor, first, last, sparsity, numbers)
    return values


def _prune_columns(
    values: Tensor, factor: Tensor, first: int, last: int, sparsity: float, numbers: tuple[int, int] | None
) -> None:
    """Zeroes weights of these columns, and moves those in them and behind them, in place.

    Args:
        factor: upper Cholesky factor of the inverse Hessian: row p, over its diagonal, is how the columns from p on
            move when one of p goes, and the diagonal's square is [H^-1]_pp once the columns before p move no more.
    """
    scale = factor.diagonal()
    stays = torch.ones_like(values[:, first:last], dtype=torch.bool)
    if numbers is None:
        stays = _highest(values[:, first:last].square() / scale[first:last].square(), sparsity)
    moved = torch.zeros_like(values[:, first:last])
    for column in range(first, last):
        if numbers is not None and (column - first) % numbers[1] == 0:  # by what earlier groups have made of them
            group = slice(column, column + numbers[1])
            scores = values[:, group].square() / scale[group].square()
            stays[:, column - first : column - first + numbers[1]] = largest_of_groups(scores, *numbers)
        gone = ~stays[:, column - first]
        moved[:, column - first] = torch.where(gone, values[:, column], 0) / scale[column]
        values[:, column:last] -= moved[:, column - first, None] * factor[column, column:last]
        values[gone, column] = 0  # exactly
    values[:, last:] -= moved @ factor[first:last, last:]


def _highest(scores: Tensor, sparsity: float) -> Tensor:
    """Which weights stay, bool as `scores`: all but the lowest share of them all; of equals the first."""
    stay = scores.numel() - int(sparsity * scores.numel())
    indices = torch.sort(scores.flatten(), descending=True, stable=True).indices[:stay]
    return (
        torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device).scatter_(0, indices, True).view_as(scores)
    )
