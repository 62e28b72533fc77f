"""Stage: a smaller student learns from the labels and from what the teacher says about every text."""

from typing import Any

from prefect import task

from hone.tasks import cluster, store
from hone.tasks.contracts import DistilledModel, PreparedData, TrainedModel
from hone.tasks.device import driver_device
from hone.tasks.model.checkpoints.source import content_digest, hub_commit, resolve_source
from hone.tasks.stage import RunContext, StageWorkspace, run_stage, skip_stage


@task(name="distill")
def distill_student(context: RunContext, data: PreparedData, teacher: TrainedModel) -> DistilledModel:
    """Teaches a student of some of the teacher's layers, or another encoder; the epoch best on validation is kept."""
    recipe, settings = context.recipe, context.recipe.distill
    if settings.method == "none":
        record = skip_stage("distill", "distill.method is none", teacher.checkpoint.artifact.digest)
        return DistilledModel(record=record, checkpoint=teacher.checkpoint)

    other = resolve_source(settings.student, settings.student_revision, "distill.student") if settings.student else None
    commit = hub_commit(other) if other else ""

    def body(workspace: StageWorkspace) -> dict[str, Any]:
        cluster.start(recipe.compute)
        # Imported while the workers start; a run that finds this stage finished needs none of it.
        from hone.tasks.distill.student import write_student
        from hone.tasks.model.checkpoints.gguf import gguf_notes
        from hone.tasks.model.training.distillation import make_trainable
        from hone.tasks.model.training.recovery import hand_on, outputs_of, recover

        came_with = {} if other is None else gguf_notes(other)
        student = workspace.scratch / "student"
        layers = write_student(
            store.open_artifact(teacher.checkpoint.artifact),
            store.open_artifact(data.artifact),
            student,
            settings=settings,
            model=recipe.model,
            labels=data.labels,
            seed=workspace.seed,
            other=other,
            task=recipe.objective,
        )
        outputs = outputs_of(context, workspace, teacher=teacher.checkpoint.artifact, data=data, layers=layers)
        result = recover(
            context,
            workspace,
            make_trainable=make_trainable,
            settings=settings,
            student=student,
            data=data,
            outputs=outputs,
            layers=layers,
        )
        checkpoint = hand_on(
            context,
            workspace,
            result,
            who="the student",
            data=data,
            made_from=[teacher.checkpoint.artifact.digest, data.artifact.digest],
            notes=lambda _model: {"teacher_layers": layers, **({"hub_commit": commit} if commit else {}), **came_with},
        )
        return {"checkpoint": checkpoint}

    return run_stage(
        context,
        "distill",
        DistilledModel,
        body,
        settings={
            "task": recipe.objective,
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
