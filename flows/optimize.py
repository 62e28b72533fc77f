"""From a pretrained encoder and labelled text to a small, fast ONNX model in the registry. Read this first."""

from typing import Any

from prefect import flow
from prefect.states import Completed, State

from configs.recipe import Recipe
from flows.run import pipeline
from tasks.champion.task import ask_champion
from tasks.data.task import prepare_data
from tasks.distill.task import distill_student
from tasks.evaluate.task import evaluate_models
from tasks.export.task import export_models
from tasks.gate.task import decide
from tasks.promote.task import promote_model
from tasks.prune.task import prune_student
from tasks.quantize.task import quantize_student
from tasks.register.task import register_model
from tasks.report.task import publish_report
from tasks.train.task import train_teacher


@flow(name="optimize", flow_run_name="{recipe.name}")
def optimize(recipe: Recipe, output: str = "", fresh: bool = False) -> State[dict[str, Any]]:
    """Prepare the data, train a teacher, distil a student, prune it, quantize it, export every model, measure them all,
    ask the champion the same, hold the smallest against the recipe's demands, register it if it meets them, and promote
    it where the recipe says so.

    Args:
        recipe: What to do. Sections in the order of the chain.
        output: Folder of the report and the selected model; empty: runs/ and the recipe's name.
        fresh: Ignore the finished stages of earlier runs.
    """
    with pipeline(recipe, output, fresh) as context:
        data = prepare_data(context)
        teacher = train_teacher(context, data)
        distilled = distill_student(context, data, teacher)
        pruned = prune_student(context, data, teacher, distilled)
        quantized = quantize_student(context, data, teacher, pruned)
        exported = export_models(context, teacher, distilled, pruned, quantized)
        evaluation = evaluate_models(context, data, teacher, exported)
        champion = ask_champion(context, data, exported)
        verdict = decide(context, data, evaluation, champion)
        version = register_model(context, data, exported, evaluation, verdict)
        promotion = promote_model(context, version, verdict)
        report = publish_report(
            context,
            data,
            [teacher, distilled, pruned, quantized],
            exported,
            evaluation,
            champion,
            verdict,
            version,
            promotion,
        )
    return Completed(name=verdict.verdict, message=verdict.headline(), data=report)
