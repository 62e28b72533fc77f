"""Stage: the pruned student goes down to eight bits, and learns to live with them."""

from typing import Any

from prefect import task

from hone.tasks import cluster, store
from hone.tasks.contracts import PreparedData, PrunedModel, QuantizedModel, TrainedModel
from hone.tasks.device import driver_device
from hone.tasks.stage import RunContext, StageWorkspace, run_stage, skip_stage


@task(name="quantize")
def quantize_student(
    context: RunContext, data: PreparedData, teacher: TrainedModel, student: PrunedModel
) -> QuantizedModel:
    """Quantises post training, keeping too sensitive layers in fp32, and then fine-tunes with the rounding in the loop;
    the epoch best on validation is kept, and the one before the first is among them."""
    recipe, settings, loss = context.recipe, context.recipe.quantize, context.recipe.distill
    if settings.method == "none":
        record = skip_stage("quantize", "quantize.method is none", student.checkpoint.artifact.digest)
        return QuantizedModel(record=record, checkpoint=student.checkpoint, scheme="none")
    scheme = recipe.quantization_scheme
    trains = settings.method == "qat" and settings.epochs > 0
    inputs = {"student": student.checkpoint.artifact.digest, "data": data.artifact.digest}
    if trains:  # post training, nobody asks the teacher
        inputs["teacher"] = teacher.checkpoint.artifact.digest

    def body(workspace: StageWorkspace) -> dict[str, Any]:
        if trains:
            cluster.start(recipe.compute)
        # Imported while the workers start; a run that finds this stage finished needs none of it.
        from hone.tasks.model.teacher.outputs import matched_layers
        from hone.tasks.model.training.fake_quantization import attach, read_plan
        from hone.tasks.model.training.recovery import hand_on, outputs_of, recover, splits_of
        from hone.tasks.model.training.trainable import TrainingResult
        from hone.tasks.quantize.post_training import quantize_post_training
        from hone.tasks.quantize.trainable import make_trainable

        start, layers = store.open_artifact(student.checkpoint.artifact), matched_layers(student.checkpoint)
        rounded = quantize_post_training(
            start,
            store.open_artifact(data.artifact),
            workspace.scratch / "rounded",
            settings=settings,
            scheme=scheme,
            max_length=recipe.model.max_length,
            seed=workspace.seed,
            on_progress=workspace.advanced,
            task=recipe.objective,
            splits=splits_of(context, workspace),
        )
        result = TrainingResult(workspace.scratch / "rounded", rounded.answers.metrics, [], rounded.answers.sums)
        if trains:
            outputs = outputs_of(context, workspace, teacher=teacher.checkpoint.artifact, data=data, layers=layers)
            result = recover(
                context,
                workspace,
                make_trainable=make_trainable,
                settings=settings,
                student=start,
                data=data,
                outputs=outputs,
                layers=layers,
                arguments={"plan": rounded.plan},
            )
        checkpoint = hand_on(
            context,
            workspace,
            result,
            who="the quantised student",
            data=data,
            made_from=list(inputs.values()),
            notes=lambda _model: {"teacher_layers": layers, **rounded.notes()},
            as_it_answers=lambda model, folder: attach(model, read_plan(folder)),
        )
        return {"checkpoint": checkpoint, "scheme": scheme, "layers_kept": list(rounded.plan.kept)}

    return run_stage(
        context,
        "quantize",
        QuantizedModel,
        body,
        settings={
            "task": recipe.objective,
            "quantize": settings,
            "quantize.scheme_taken": scheme,
            **({"distill": loss.loss_settings()} if trains else {}),
            "model.max_length": recipe.model.max_length,
            "compute": cluster.shaping_settings(recipe.compute),
            "driver": driver_device(),
        },
        inputs=inputs,
        libraries=("torch", "transformers", "tokenizers"),
    )
