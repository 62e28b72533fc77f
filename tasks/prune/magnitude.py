"""Small weights set to zero: W' = W * 1(|W| >= tau), one tau for all linear layers."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from configs.model import PruneSettings
from tasks.model.anatomy import linear_names
from tasks.model.learner import TrainingJob
from tasks.model.teaching import TeachingLearner, make_learner
from tasks.model.zeros import zeros_held
from tasks.prune.structured import Measure


def zero_smallest(model: PreTrainedModel, settings: PruneSettings, _measure: Measure) -> list[int]:
    """Sets the smallest weights to zero, in place, so that at least 1 - sparsity of them stay.

    Returns:
        The places of all layers: none is removed.
    """
    zero_below(model, threshold(model, settings.sparsity))
    return list(range(model.config.num_hidden_layers))


def make_masked_learner(job: TrainingJob, device: torch.device) -> TeachingLearner:
    """The learner of the recovery: what is zero in the checkpoint it starts from stays zero."""
    learner = make_learner(job, device)
    learner.hold = zeros_held(learner.student)
    return learner


def threshold(model: PreTrainedModel, sparsity: float) -> float:
    """The tau below which lies this share of the weights of all linear layers, or less of them where weights are equal.

    Source: Han et al. 2015, arXiv:1506.02626, with one threshold for the whole model.
    """
    magnitudes = torch.cat([weight.detach().abs().flatten() for weight in _weights(model).values()])
    below = int(sparsity * magnitudes.numel())
    return float(magnitudes.kthvalue(below + 1).values)


def zero_below(model: PreTrainedModel, tau: float) -> None:
    """W' = W * 1(|W| >= tau), in place."""
    with torch.no_grad():
        for weight in _weights(model).values():
            weight.mul_(weight.abs() >= tau)


def sparsity_of(model: PreTrainedModel) -> float:
    """Share of exact zeros among the weights of all linear layers, counted."""
    weights = _weights(model).values()
    return 1 - sum(int(torch.count_nonzero(weight)) for weight in weights) / sum(weight.numel() for weight in weights)


def _weights(model: PreTrainedModel) -> dict[str, Tensor]:
    return {f"{name}.weight": model.get_parameter(f"{name}.weight") for name in linear_names(model)}
