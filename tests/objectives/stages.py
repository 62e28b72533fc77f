"""A recipe's data through every stage that trains, in this process and without Prefect."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hone.configs.recipe import Recipe
from hone.tasks.contracts import DistilledModel, PreparedData, PrunedModel, QuantizedModel, TrainedModel
from hone.tasks.data.task import prepare_data
from hone.tasks.distill.task import distill_student
from hone.tasks.prune.task import prune_student
from hone.tasks.quantize.task import quantize_student
from hone.tasks.stage import RunContext
from hone.tasks.train.task import train_teacher


@dataclass
class Made:
    context: RunContext
    data: PreparedData
    teacher: TrainedModel
    student: DistilledModel
    pruned: PrunedModel
    rounded: QuantizedModel

    @property
    def recipe(self) -> Recipe:
        return self.context.recipe

    @property
    def stages(self) -> list[Any]:
        return [self.teacher, self.student, self.pruned, self.rounded]

    def scores(self, metric: str) -> list[float]:
        """A validation metric of each stage."""
        return [stage.checkpoint.validation_metrics[metric] for stage in self.stages]


def through_the_stages(recipe: Recipe, folder: Path) -> Made:
    """Prepares, trains, distils, prunes and quantizes."""
    torch.set_num_threads(1)
    context = RunContext(recipe=recipe, output=str(folder / "out"), storage=str(folder / "storage"))
    data = prepare_data.fn(context)
    teacher = train_teacher.fn(context, data)
    student = distill_student.fn(context, data, teacher)
    pruned = prune_student.fn(context, data, teacher, student)
    return Made(context, data, teacher, student, pruned, quantize_student.fn(context, data, teacher, pruned))
