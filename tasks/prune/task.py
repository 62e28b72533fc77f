"""Stage: what matters least is removed from the student, and the rest recovers with the teacher."""

import math
from typing import Any

from prefect import task

from hone.configs.model import PruneSettings
from hone.configs.recipe import Recipe
from hone.tasks import cluster, store
from hone.tasks.contracts import DistilledModel, PreparedData, PrunedModel, TrainedModel
from hone.tasks.device import driver_device
from hone.tasks.stage import RunContext, StageWorkspace, run_stage, skip_stage


@task(name="prune")
def prune_student(
    context: RunContext, data: PreparedData, teacher: TrainedModel, student: DistilledModel
) -> PrunedModel:
    """Prunes the student and lets it recover by distillation from the teacher; the epoch best on validation is kept."""
    recipe, settings, loss = context.recipe, pruning(context.recipe), context.recipe.distill
    if settings.method == "none":
        record = skip_stage("prune", "prune.method is none", student.checkpoint.artifact.digest)
        return PrunedModel(record=record, checkpoint=student.checkpoint)
    made_from = [model.artifact.digest for model in (student.checkpoint, teacher.checkpoint, data)]

    def body(workspace: StageWorkspace) -> dict[str, Any]:
        cluster.start(recipe.compute)
        # Imported while the workers start; a run that finds this stage finished needs none of it.
        from transformers import PreTrainedModel

        from hone.tasks.model.teacher.outputs import matched_layers
        from hone.tasks.model.training.recovery import hand_on, outputs_of, recover, splits_of
        from hone.tasks.prune.methods import METHODS
        from hone.tasks.prune.prune_model import counted, prune_model
        from hone.tasks.prune.recovery import make_trainable

        layers = matched_layers(student.checkpoint)
        outputs = outputs_of(context, workspace, teacher=teacher.checkpoint.artifact, data=data, layers=layers)
        layers = prune_model(
            store.open_artifact(student.checkpoint.artifact),
            workspace.scratch / "pruned",
            outputs=outputs,
            settings=settings,
            loss=loss,
            student_layers=layers,
            max_length=recipe.model.max_length,
            seed=workspace.seed,
            on_progress=workspace.advanced,
            task=recipe.objective,
            splits=splits_of(context, workspace),
        )
        result = recover(
            context,
            workspace,
            make_trainable=make_trainable,
            settings=settings,
            student=workspace.scratch / "pruned",
            data=data,
            outputs=outputs,
            layers=layers,
        )

        def notes(pruned: PreTrainedModel) -> dict[str, Any]:
            return {"teacher_layers": layers, **counted(pruned), **METHODS[settings.method](settings).finish(pruned)}

        checkpoint = hand_on(
            context, workspace, result, who="the pruned student", data=data, made_from=made_from, notes=notes
        )
        return {"checkpoint": checkpoint}

    return run_stage(
        context,
        "prune",
        PrunedModel,
        body,
        settings={
            "task": recipe.objective,
            "prune": settings,
            "distill": loss.loss_settings(),
            "model.max_length": recipe.model.max_length,
            "compute": cluster.shaping_settings(recipe.compute),
            "driver": driver_device(),
        },
        inputs=dict(zip(("student", "teacher", "data"), made_from, strict=True)),
        libraries=("torch", "transformers", "tokenizers"),
    )


def pruning(recipe: Recipe) -> PruneSettings:
    """`prune`, with as many neurons left as make whole blocks where weights are to be in blocks."""
    if recipe.quantize.method == "none" or recipe.quantization_scheme != "blockwise":
        return recipe.prune
    whole = math.lcm(recipe.prune.neuron_multiple, recipe.quantize.block_size)
    return recipe.prune.model_copy(update={"neuron_multiple": whole})
