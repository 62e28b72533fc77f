"""Stage: a smaller student learns from the labels and from what the teacher says about every text."""

from pathlib import Path
from typing import Any

from prefect import task

from tasks import cluster, store
from tasks.contracts import Checkpoint, DistilledModel, PreparedData, TrainedModel
from tasks.device import driver_device
from tasks.model.source import content_digest, hub_commit, resolve_source
from tasks.stage import RunContext, Workshop, run_stage, skip_stage


@task(name="distill")
def distill_student(context: RunContext, data: PreparedData, teacher: TrainedModel) -> DistilledModel:
    """Teaches a student of some of the teacher's layers, or another encoder; the epoch best on validation is kept."""
    recipe, settings = context.recipe, context.recipe.distill
    if settings.method == "none":
        record = skip_stage("distill", "distill.method is none", teacher.checkpoint.artifact.digest)
        return DistilledModel(record=record, checkpoint=teacher.checkpoint)

    other = resolve_source(settings.student, settings.student_revision, "distill.student") if settings.student else None
    commit = hub_commit(other) if other else ""

    def body(workshop: Workshop) -> dict[str, Any]:
        cluster.start(recipe.compute)
        # Imported while the workers start; a run that finds this stage finished needs none of it.
        from tasks.distill.student import write_student
        from tasks.model import teacher_outputs
        from tasks.model.checkpoint import count_parameters, load_model
        from tasks.model.learner import TrainingJob, validation_fields, warnings_of
        from tasks.model.teaching import lesson_arguments, make_learner

        student, data_folder = workshop.scratch / "student", store.open_artifact(data.artifact)
        layers = write_student(
            store.open_artifact(teacher.checkpoint.artifact),
            data_folder,
            student,
            settings=settings,
            model=recipe.model,
            labels=data.labels,
            seed=workshop.seed,
            other=other,
            task=recipe.task,
        )
        outputs = teacher_outputs.prepare(
            Path(context.storage),
            teacher=teacher.checkpoint.artifact,
            data=data.artifact,
            loss=settings,
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
            arguments=lesson_arguments(
                student=student,
                data=data_folder,
                teacher_outputs=outputs,
                loss=settings,
                max_length=recipe.model.max_length,
                student_layers=layers,
            ),
        )
        result = cluster.train(job, recipe.compute, workshop.on_event)
        store.copy_folder(result.best, workshop.folder / "checkpoint")
        parameters, nonzero = count_parameters(load_model(workshop.folder / "checkpoint"))
        return {
            "checkpoint": Checkpoint(
                artifact=workshop.artifact("checkpoint", [teacher.checkpoint.artifact.digest, data.artifact.digest]),
                parameters=parameters,
                nonzero_parameters=nonzero,
                **validation_fields(recipe.task, result.validation),
                curves=result.curves,
                notes={"teacher_layers": layers, **({"hub_commit": commit} if commit else {})},
                warnings=warnings_of("the student", recipe.task, result.sums, data.labels),
            )
        }

    return run_stage(
        context,
        "distill",
        DistilledModel,
        body,
        settings={
            "task": recipe.task,
            "distill": settings.model_dump(mode="json", exclude={"student", "student_revision"}),
            "model.max_length": recipe.model.max_length,
            "compute": cluster.shaping_settings(recipe.compute),
            "driver": driver_device(),
        },
        inputs={
            "data": data.artifact.digest,
            "teacher": teacher.checkpoint.artifact.digest,
            **({} if other is None else {"student": content_digest(other)}),
        },
        libraries=("torch", "transformers", "tokenizers"),
    )
