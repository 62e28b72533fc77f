"""The student that learns with its rounding on, and is saved on the integer grid."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from hone.tasks.model.architectures.linears import weight_of
from hone.tasks.model.checkpoints.checkpoint import save_model
from hone.tasks.model.training.distillation import DistillationTrainable
from hone.tasks.model.training.distillation import make_trainable as make_distillation_trainable
from hone.tasks.model.training.fake_quantization import QuantizationConfig, attach, snap_to_grid
from hone.tasks.model.training.sparsity_mask import SparsityMask
from hone.tasks.model.training.trainable import TrainingJob


@dataclass
class QuantizationTrainable(DistillationTrainable):
    """A teaching trainable whose student rounds; only what is saved differs."""

    plan: QuantizationConfig = field(kw_only=True)

    def save(self, folder: Path) -> None:
        """The student with its weights on the grid, and the plan beside them."""
        save_quantized(self.student, self.tokenizer, self.plan, folder)


def make_trainable(job: TrainingJob, device: torch.device) -> QuantizationTrainable:
    """The trainable for a job whose arguments are `distillation.distillation_arguments` and `plan`: a Plan.

    Weights that are zero in the checkpoint, such as those a mask removed, stay zero.
    """
    plan: QuantizationConfig = job.arguments["plan"]
    distillation = make_distillation_trainable(job, device)
    attach(distillation.student, plan)
    distillation.modifier = SparsityMask()
    distillation.modifier.begin(distillation.student)
    return QuantizationTrainable(**vars(distillation), plan=plan)


def save_quantized(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, plan: QuantizationConfig, folder: Path
) -> None:
    """Writes a plain checkpoint whose quantised weights lie on their grids, with `quantization.json` beside them. The
    model itself keeps the weights it has: training goes on from those."""
    names = (*plan.linears, *plan.tables)
    kept = {name: weight_of(model, name).detach().clone() for name in names}
    try:
        save_model(snap_to_grid(model, plan), tokenizer, folder)
    finally:
        with torch.no_grad():
            for name, weight in kept.items():
                weight_of(model, name).copy_(weight)
    plan.write(folder)
