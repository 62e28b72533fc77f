"""Which layers of a model stay, by what the loss becomes without the others.

What a layer does depends on those around it, and a gradient at the whole model does not see that: so the layer without
which the loss rises least goes, and then the same is asked of what is left. The first and the last layer stay: they
turn tokens into what the others read, and back.
"""

from collections.abc import Callable

from transformers import PreTrainedModel

from hone.configs.model import PruneSettings
from hone.tasks.model.architectures.layers import architecture

MeasureLoss = Callable[[list[int]], float]
"""The loss of the model with these of its layers alone, counted from 0, summed over the rows."""


def is_greedy(model: PreTrainedModel, settings: PruneSettings) -> bool:
    """Whether layers go one by one, by the loss: as the settings say, and where they leave it open, for decoders."""
    if settings.layer_choice == "auto":
        return architecture(model.config.model_type).causal
    return settings.layer_choice == "loss"


def greedy(count: int, left: int, loss: MeasureLoss) -> list[int]:
    """Places of the layers that stay, in rising order, of `count`: `left` of them, the first and the last among them.

    Takes a forward pass over the rows for each layer that might go, each time that one goes; of equals the later goes.
    """
    kept = list(range(count))
    while len(kept) > max(left, 2):
        losses = {place: loss([other for other in kept if other != place]) for place in kept[1:-1]}
        kept.remove(min(reversed(losses), key=lambda place: losses[place]))
    return kept
