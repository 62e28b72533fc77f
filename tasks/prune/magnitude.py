"""Small weights set to zero: W' = W * 1(|W| >= tau), one tau for all linear layers; or the smallest of each N:M group.

At once, or in steps while the student trains.
"""

from collections.abc import Callable

import torch
from torch import nn
from transformers import PreTrainedModel

from hone.configs.model import PruneSettings
from hone.tasks.model.training.modifier import Calibration
from hone.tasks.model.training.sparsity_mask import sparsity_mask
from hone.tasks.prune.masks import Mask, linear_weights, zero_where_not
from hone.tasks.prune.patterns import check_widths, largest_of_groups, numbers_of
from hone.tasks.prune.schedule import cubic_schedule


class Magnitude(Mask):
    """Zeroes the smallest weights at once, so that at least 1 - sparsity of them stay, or N of every M."""

    def prepare(self, model: PreTrainedModel, calibration: Calibration) -> list[int]:
        """Sets them to zero; needs no rows.

        Raises:
            ModelError: when a layer's inputs cannot be cut into groups of M.
        """
        numbers = numbers_of(self.settings.pattern)
        if numbers is None:
            zero_below(model, threshold(model, self.settings.sparsity))
        else:
            check_widths(model, self.settings.pattern)
            for weight in linear_weights(model).values():
                zero_where_not(weight, largest_of_groups(weight.abs(), *numbers))
        return super().prepare(model, calibration)


class GradualMagnitude(Mask):
    """Zeroes the smallest weights in steps while the student trains, by the cubic schedule.

    What is zero once stays zero, so weights and step alone say what the mask is: a resumed run goes on with the same.
    """

    _model: PreTrainedModel
    _held: Callable[[], None] | None

    def begin(self, model: PreTrainedModel) -> None:
        """The zeros are looked up at the first step, when a resumed run's weights are in place."""
        self._model, self._held = model, None

    def before_step(self, step: int, total: int) -> None:
        """Zeroes as many of the smallest as the schedule wants before this step."""
        schedule = cubic_schedule(self.settings, total)
        if schedule.grows_at(step):
            zero_below(self._model, threshold(self._model, schedule.sparsity(step)))
            self._held = None
        if self._held is None:
            self._held = sparsity_mask(self._model)

    def after_step(self) -> None:
        """Sets to zero again what was zero before the step."""
        if self._held is not None:
            self._held()

    def settled(self, step: int, total: int) -> bool:
        """Once the last weights have gone and a step was made without them."""
        return step > cubic_schedule(self.settings, total).end


def magnitude(settings: PruneSettings) -> Mask:
    """The modifier for `prune.schedule`."""
    return GradualMagnitude(settings) if settings.schedule == "cubic" else Magnitude(settings)


def threshold(model: nn.Module, sparsity: float) -> float:
    """The tau below which lies this share of the weights of all linear layers, or less of them where weights are equal.

    Source: Han et al. 2015, arXiv:1506.02626, with one threshold for the whole model.
    """
    magnitudes = torch.cat([weight.detach().abs().flatten() for weight in linear_weights(model).values()])
    below = int(sparsity * magnitudes.numel())
    return float(magnitudes.kthvalue(below + 1).values)


def zero_below(model: nn.Module, tau: float) -> None:
    """W' = W * 1(|W| >= tau), in place."""
    for weight in linear_weights(model).values():
        zero_where_not(weight, weight.detach().abs() >= tau)
