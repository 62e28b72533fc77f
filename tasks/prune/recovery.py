"""The learner of the recovery: the student learns from the teacher, and the method holds what it has removed."""

import torch

from configs.model import PruneSettings
from tasks.model.learner import TrainingJob
from tasks.model.teaching import TeachingLearner
from tasks.model.teaching import make_learner as make_teaching_learner
from tasks.prune.techniques import TECHNIQUES


def make_learner(job: TrainingJob, device: torch.device) -> TeachingLearner:
    """The learner for a job whose arguments are `teaching.lesson_arguments` and whose settings are `PruneSettings`."""
    settings = PruneSettings.model_validate(job.settings.model_dump())
    learner = make_teaching_learner(job, device)
    learner.modifier = TECHNIQUES[settings.method](settings)
    learner.modifier.begin(learner.student)
    return learner
