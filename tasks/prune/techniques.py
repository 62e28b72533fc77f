"""The techniques by the name a recipe calls them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from configs.model import PruneSettings
from tasks.model.learner import TrainingJob
from tasks.model.teaching import TeachingLearner, make_learner
from tasks.prune.magnitude import make_masked_learner, zero_smallest
from tasks.prune.structured import Measure, remove_structures


@dataclass(frozen=True)
class Technique:
    """How something is removed, and how what is left recovers."""

    remove: Callable[[PreTrainedModel, PruneSettings, Measure], list[int]]
    """Removes in place and returns the places of the layers that are still there."""
    make_learner: Callable[[TrainingJob, torch.device], TeachingLearner]
    """The learner of the recovery; a module-level function, as it is sent to the workers."""


TECHNIQUES = {
    "structured": Technique(remove_structures, make_learner),
    "magnitude": Technique(zero_smallest, make_masked_learner),
}
