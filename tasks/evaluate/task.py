"""Measures every model of the chain on the test split and on this machine, and a baseline beside them."""

from typing import Any

from prefect import task

from hone.tasks import cluster
from hone.tasks.contracts import EvaluationReport, ExportedModels, PreparedData, TrainedModel
from hone.tasks.evaluate import machine
from hone.tasks.stage import RunContext, StageWorkspace, run_stage

LIBRARIES = (*machine.LIBRARIES, "scipy")


@task(name="evaluate", retries=0)
def evaluate_models(
    context: RunContext, data: PreparedData, teacher: TrainedModel, exported: ExportedModels
) -> EvaluationReport:
    """Quality, size and speed of the teacher in PyTorch, of each exported model, and of the baseline beside them; what
    every hand-off from one form to the next costs; where the nodes run; whether the selected model serves.

    Speed-ups are over the best dense configuration of the teacher, never over PyTorch.
    """
    recipe, settings = context.recipe, context.recipe.evaluate
    providers = [str(provider) for provider in recipe.export.providers]
    hardware = machine.hardware()

    def body(workspace: StageWorkspace) -> dict[str, Any]:
        cluster.shutdown()  # idle training workers would share the cores with what is timed
        # Imported here: a run that finds this stage finished needs none of torch, transformers and scikit-learn.
        from hone.tasks.evaluate.measure import measure

        return measure(workspace, recipe, data, teacher, exported)

    return run_stage(
        context,
        "evaluate",
        EvaluationReport,
        body,
        settings={
            "evaluate": settings,
            "model.max_length": recipe.model.max_length,
            "data.lowercase": recipe.data.lowercase,
            "data.strip_punctuation": recipe.data.strip_punctuation,
            "export.providers": providers,
            "report.texts": recipe.report.texts == "shown",
            "machine": hardware,
            "gate.max_background_load": recipe.gate.max_background_load,
        },
        inputs={
            "data": data.artifact.digest,
            "teacher": teacher.checkpoint.artifact.digest,
            **{model.name: model.artifact.digest for model in exported.models},
        },
        libraries=LIBRARIES,
        unusable=lambda report: disturbed(report, recipe.gate.max_background_load),
    )


def disturbed(report: EvaluationReport, limit: float) -> str:
    """Why the timing is not to be taken again; empty where the machine was quiet enough."""
    load = report.machine.get("background_load") or 0.0
    return f"others took {load:.0%} of the machine while it was timed" if load > limit else ""
