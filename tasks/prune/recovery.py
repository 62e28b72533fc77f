"""The learner of the recovery: the student learns from the teacher, and the method holds what it has removed."""

import torch

from hone.configs.model import PruneSettings
from hone.tasks.model.learner import TrainingJob
from hone.tasks.model.teaching import TeachingLearner
from hone.tasks.model.teaching import make_learner as make_teaching_learner
from hone.tasks.prune.techniques import TECHNIQUES


def make_learner(job: TrainingJob, device: torch.device) -> TeachingLearner:
    """The learner for a job whose arguments are `teaching.lesson_arguments` and whose settings are `PruneSettings`."""
    settings = PruneSettings.model_validate(job.settings.model_dump())
    learner = make_teaching_learner(job, device)
    learner.modifier = TECHNIQUES[settings.method](settings)
    learner.modifier.begin(learner.student)
    return learner
