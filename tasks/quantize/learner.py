"""The student that learns with its rounding on, and is saved on the integer grid."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hone.tasks.model.checkpoint import save_model
from hone.tasks.model.fake_quantization import Plan, attach, bake, weight_of
from hone.tasks.model.learner import TrainingJob
from hone.tasks.model.teaching import TeachingLearner
from hone.tasks.model.teaching import make_learner as make_teaching_learner
from hone.tasks.model.zeros import HeldZeros


@dataclass
class QuantizingLearner(TeachingLearner):
    """A teaching learner whose student rounds; only what is saved differs."""

    plan: Plan = field(kw_only=True)

    def save(self, folder: Path) -> None:
        """The student with its weights on the grid, and the plan beside them."""
        save_quantized(self.student, self.tokenizer, self.plan, folder)


def make_learner(job: TrainingJob, device: torch.device) -> QuantizingLearner:
    """The learner for a job whose arguments are `teaching.lesson_arguments` and `plan`: a Plan.

    Weights that are zero in the checkpoint, such as those a mask removed, stay zero.
    """
    plan: Plan = job.arguments["plan"]
    lesson = make_teaching_learner(job, device)
    attach(lesson.student, plan)
    lesson.modifier = HeldZeros()
    lesson.modifier.begin(lesson.student)
    return QuantizingLearner(**vars(lesson), plan=plan)


def save_quantized(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, plan: Plan, folder: Path) -> None:
    """Writes a plain checkpoint whose quantised weights lie on their grids, with `quantization.json` beside them. The
    model itself keeps the weights it has: training goes on from those."""
    names = (*plan.linears, *plan.tables)
    kept = {name: weight_of(model, name).detach().clone() for name in names}
    try:
        save_model(bake(model, plan), tokenizer, folder)
    finally:
        with torch.no_grad():
            for name, weight in kept.items():
                weight_of(model, name).copy_(weight)
    plan.write(folder)
