"""Stage: the pruned student goes down to eight bits, and learns to live with them."""

from pathlib import Path
from typing import Any

from prefect import task

from tasks import cluster, store
from tasks.contracts import Checkpoint, PreparedData, PrunedModel, QuantizedModel, TrainedModel
from tasks.device import driver_device
from tasks.stage import RunContext, Workshop, run_stage, skip_stage


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

    def body(workshop: Workshop) -> dict[str, Any]:
        if trains:
            cluster.start(recipe.compute)
        # Imported while the workers start; a run that finds this stage finished needs none of it.
        from tasks.model import teacher_outputs
        from tasks.model.checkpoint import count_parameters, load_model
        from tasks.model.learner import TrainingJob, validation_fields, warnings_of
        from tasks.model.teaching import lesson_arguments
        from tasks.quantize.learner import make_learner
        from tasks.quantize.post_training import quantize_post_training

        start, data_folder = store.open_artifact(student.checkpoint.artifact), store.open_artifact(data.artifact)
        layers = teacher_outputs.matched_layers(student.checkpoint)
        rounded = quantize_post_training(
            start,
            data_folder,
            workshop.scratch / "rounded",
            settings=settings,
            scheme=scheme,
            max_length=recipe.model.max_length,
            seed=workshop.seed,
            on_progress=workshop.advanced,
            task=recipe.task,
        )
        best, curves = workshop.scratch / "rounded", []
        measured, sums = rounded.answers.metrics, rounded.answers.sums
        if trains:
            outputs = teacher_outputs.prepare(
                Path(context.storage),
                teacher=teacher.checkpoint.artifact,
                data=data.artifact,
                loss=loss,
                layers=layers,
                max_length=recipe.model.max_length,
                seed=workshop.seed,
                owner=recipe.name,
                on_progress=workshop.advanced,
                task=recipe.task,
            )
            job = TrainingJob(
                make_learner=make_learner,
                settings=settings,
                seed=workshop.seed,
                workdir=workshop.scratch / "training",
                task=recipe.task,
                arguments={
                    **lesson_arguments(
                        student=start,
                        data=data_folder,
                        teacher_outputs=outputs,
                        loss=loss,
                        max_length=recipe.model.max_length,
                        student_layers=layers,
                    ),
                    "plan": rounded.plan,
                },
            )
            result = cluster.train(job, recipe.compute, workshop.on_event)
            best, curves = result.best, result.curves
            measured, sums = result.validation, result.sums
        store.copy_folder(best, workshop.folder / "checkpoint")
        parameters, nonzero = count_parameters(load_model(workshop.folder / "checkpoint"))
        return {
            "checkpoint": Checkpoint(
                artifact=workshop.artifact("checkpoint", list(inputs.values())),
                parameters=parameters,
                nonzero_parameters=nonzero,
                **validation_fields(recipe.task, measured),
                curves=curves,
                notes={"teacher_layers": layers, **rounded.notes()},
                warnings=warnings_of("the quantised student", recipe.task, sums, data.labels),
            ),
            "scheme": scheme,
            "layers_kept": list(rounded.plan.kept),
        }

    return run_stage(
        context,
        "quantize",
        QuantizedModel,
        body,
        settings={
            "task": recipe.task,
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
