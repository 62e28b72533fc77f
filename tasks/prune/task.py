"""Stage: what matters least is removed from the student, and the rest recovers with the teacher."""

from pathlib import Path
from typing import Any

from prefect import task

from tasks import cluster, store
from tasks.contracts import Checkpoint, DistilledModel, PreparedData, PrunedModel, TrainedModel
from tasks.device import driver_device
from tasks.stage import RunContext, Workshop, run_stage, skip_stage


@task(name="prune")
def prune_student(
    context: RunContext, data: PreparedData, teacher: TrainedModel, student: DistilledModel
) -> PrunedModel:
    """Prunes the student and lets it recover by distillation from the teacher; the epoch best on validation is kept."""
    recipe, settings, loss = context.recipe, context.recipe.prune, context.recipe.distill
    if settings.method == "none":
        record = skip_stage("prune", "prune.method is none", student.checkpoint.artifact.digest)
        return PrunedModel(record=record, checkpoint=student.checkpoint)
    made_from = [model.artifact.digest for model in (student.checkpoint, teacher.checkpoint, data)]

    def body(workshop: Workshop) -> dict[str, Any]:
        cluster.start(recipe.compute)
        # Imported while the workers start; a run that finds this stage finished needs none of it.
        from tasks.model import teacher_outputs
        from tasks.model.checkpoint import count_parameters, load_model
        from tasks.model.learner import TrainingJob, validation_fields, warnings_of
        from tasks.model.teaching import lesson_arguments
        from tasks.prune.cut import counted, cut
        from tasks.prune.recovery import make_learner
        from tasks.prune.techniques import TECHNIQUES

        layers = teacher_outputs.matched_layers(student.checkpoint)
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
        layers = cut(
            store.open_artifact(student.checkpoint.artifact),
            workshop.scratch / "pruned",
            outputs=outputs,
            settings=settings,
            loss=loss,
            student_layers=layers,
            max_length=recipe.model.max_length,
            seed=workshop.seed,
            on_progress=workshop.advanced,
            task=recipe.task,
        )
        job = TrainingJob(
            make_learner=make_learner,
            settings=settings,
            seed=workshop.seed,
            workdir=workshop.scratch / "training",
            task=recipe.task,
            arguments=lesson_arguments(
                student=workshop.scratch / "pruned",
                data=store.open_artifact(data.artifact),
                teacher_outputs=outputs,
                loss=loss,
                max_length=recipe.model.max_length,
                student_layers=layers,
            ),
        )
        result = cluster.train(job, recipe.compute, workshop.on_event)
        store.copy_folder(result.best, workshop.folder / "checkpoint")
        pruned = load_model(workshop.folder / "checkpoint")
        parameters, nonzero = count_parameters(pruned)
        notes = TECHNIQUES[settings.method](settings).finish(pruned)
        return {
            "checkpoint": Checkpoint(
                artifact=workshop.artifact("checkpoint", made_from),
                parameters=parameters,
                nonzero_parameters=nonzero,
                **validation_fields(recipe.task, result.validation),
                curves=result.curves,
                notes={"teacher_layers": layers, **counted(pruned), **notes},
                warnings=warnings_of("the pruned student", recipe.task, result.sums, data.labels),
            )
        }

    return run_stage(
        context,
        "prune",
        PrunedModel,
        body,
        settings={
            "task": recipe.task,
            "prune": settings,
            "distill": loss.loss_settings(),
            "model.max_length": recipe.model.max_length,
            "compute": cluster.shaping_settings(recipe.compute),
            "driver": driver_device(),
        },
        inputs=dict(zip(("student", "teacher", "data"), made_from, strict=True)),
        libraries=("torch", "transformers", "tokenizers"),
    )
