"""The trainable of the recovery: the student learns from the teacher, and the method holds what it has removed."""

import torch

from hone.configs.model import PruneSettings
from hone.tasks.model.training.distillation import DistillationTrainable
from hone.tasks.model.training.distillation import make_trainable as make_distillation_trainable
from hone.tasks.model.training.trainable import TrainingJob
from hone.tasks.prune.methods import METHODS


def make_trainable(job: TrainingJob, device: torch.device) -> DistillationTrainable:
    """The trainable for a job with `distillation.distillation_arguments`, whose settings are `PruneSettings`."""
    settings = PruneSettings.model_validate(job.settings.model_dump())
    trainable = make_distillation_trainable(job, device)
    trainable.modifier = METHODS[settings.method](settings)
    trainable.modifier.begin(trainable.student)
    return trainable
