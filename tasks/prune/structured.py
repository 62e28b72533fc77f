"""Heads, neurons and layers removed for real: parameters, file and time go down."""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hone.configs.model import PruneSettings
from hone.tasks.model.architectures.layers import layer_modules, model_layers, only_layers, set_layers
from hone.tasks.model.architectures.shapes import keep_heads, keep_neurons
from hone.tasks.model.training.modifier import Calibration, Unmodified
from hone.tasks.prune.depth import MeasureLoss, greedy, is_greedy
from hone.tasks.prune.importance import Importance, importance

MeasureImportance = Callable[[PreTrainedModel, list[int]], Importance]
"""Importance of a model's parts; the list says which of the student's layers are there."""


class Structured(Unmodified):
    """Removes parts before the recovery; nothing is held in it, as what is gone has no weights."""

    def __init__(self, settings: PruneSettings) -> None:
        self.settings = settings

    def prepare(self, model: PreTrainedModel, calibration: Calibration) -> list[int]:
        """Weighs the parts by the loss on the rows and removes those that weigh least."""

        def measure(cut_so_far: PreTrainedModel, kept: list[int]) -> Importance:
            return importance(cut_so_far, calibration.batches(), calibration.loss_of(cut_so_far, kept))

        def loss(kept: list[int]) -> float:
            with only_layers(model, kept):
                loss_of = calibration.loss_of(model, kept)
                training = model.training
                model.eval()
                with torch.no_grad():
                    total = sum(float(loss_of(batch)) for batch in calibration.batches())
                model.train(training)
            return total

        return remove_structures(model, self.settings, measure, loss)


def remove_structures(
    model: PreTrainedModel, settings: PruneSettings, measure: MeasureImportance, loss: MeasureLoss
) -> list[int]:
    """Removes the least important layers, then heads and neurons of those that stay, in place.

    Args:
        measure: of parts; of layers too, unless they are weighed by the loss.
        loss: of the model as it is, with some of its layers alone.

    Returns:
        Which of the model's layers are still there, counted from 0.
    """
    count = model.config.num_hidden_layers
    kept = list(range(count))
    left = max(1, round(count * (1 - settings.layer_fraction)))
    if left < count:
        kept = greedy(count, left, loss) if is_greedy(model, settings) else best(measure(model, kept).layers, left)
        keep_layers(model, kept)
    if settings.head_fraction or settings.neuron_fraction:
        found = measure(model, kept)
        parts = layer_modules(model)
        heads = [best(score, heads_kept(part.groups, settings)) for score, part in zip(found.heads, parts, strict=True)]
        neurons = [
            best(score, neurons_kept(part.neurons, settings)) for score, part in zip(found.neurons, parts, strict=True)
        ]
        if settings.head_fraction:
            keep_heads(model, heads)
        if settings.neuron_fraction:
            keep_neurons(model, neurons)
    return kept


def heads_kept(heads: int, settings: PruneSettings) -> int:
    """Of a layer's heads, or of their groups where they share keys and values, at least one."""
    return max(1, round(heads * (1 - settings.head_fraction)))


def neurons_kept(neurons: int, settings: PruneSettings) -> int:
    """Of a layer's neurons: the multiple nearest to the wanted share, at least one multiple and at most all."""
    if not settings.neuron_fraction:
        return neurons
    multiple = settings.neuron_multiple
    return min(neurons, max(multiple, round(neurons * (1 - settings.neuron_fraction) / multiple) * multiple))


def best(scores: Tensor, count: int) -> list[int]:
    """Places of the `count` highest scores, in rising order; of equals the earlier."""
    return sorted(torch.sort(scores, descending=True, stable=True).indices[:count].tolist())


def keep_layers(model: PreTrainedModel, kept: list[int]) -> None:
    """Leaves only these layers, in place."""
    layers = model_layers(model)
    set_layers(model, [layers[index] for index in kept])
