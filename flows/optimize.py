"""From a pretrained encoder and labelled text to a small, fast ONNX model in the registry. Read this first."""

from pathlib import Path
from typing import Any, NamedTuple

from prefect import flow
from prefect.states import State

from hone.configs.plan import Plan
from hone.configs.recipe import Recipe
from hone.flows.approval import handle_answer, request_approval
from hone.flows.outcome import ended, recipe_name, told
from hone.flows.run import checked, pipeline
from hone.tasks.cache_room import clear_outputs
from hone.tasks.champion.task import evaluate_champion
from hone.tasks.contracts import (
    DistilledModel,
    DriftReport,
    ExportedModels,
    PreparedData,
    Promotion,
    PrunedModel,
    QuantizedModel,
    RegisteredVersion,
    TrainedModel,
    Verdict,
)
from hone.tasks.data.task import prepare_data
from hone.tasks.distill.task import distill_student
from hone.tasks.evaluate.task import evaluate_models
from hone.tasks.export.task import export_models
from hone.tasks.gate.task import decide
from hone.tasks.promote.task import promote_model, reconcile_champion
from hone.tasks.prune.task import prune_student
from hone.tasks.quantize.task import quantize_student
from hone.tasks.register.task import register_model
from hone.tasks.report.build import Findings, StageModel
from hone.tasks.report.task import publish_report, write_report
from hone.tasks.stage import RunContext, failed_stage, skip_stage
from hone.tasks.train.task import train_teacher


class Outcome(NamedTuple):
    """How a run of the chain ended."""

    verdict: Verdict
    version: RegisteredVersion
    promotion: Promotion
    report: dict[str, Any]


class Compressed(NamedTuple):
    """What a plan made of the teacher, and what it comes to on validation."""

    distilled: DistilledModel
    pruned: PrunedModel
    quantized: QuantizedModel
    exported: ExportedModels

    @property
    def score(self) -> float:
        """On validation, of the weights that the smallest model is exported from; higher is better."""
        return self.quantized.checkpoint.score

    @property
    def size_bytes(self) -> int:
        """Of the smallest model: its graph and all that goes with it."""
        return self.exported.models[-1].artifact.size_bytes


@flow(name="optimize", validate_parameters=False)
@told(recipe_name)
def optimize(recipe: Recipe, output: str = "", fresh: bool = False) -> State[dict[str, Any]]:
    """Record what was done to the champion without Hone, prepare the data, go through the chain, and ask a person where
    the recipe says so; once they have answered, do as they say.

    Args:
        recipe: What to do. Sections in the order of the chain.
        output: Folder of the report and the selected model; empty: a new one, which runs/NAME/latest leads to.
        fresh: Ignore the finished stages of earlier runs.
    """
    if said := handle_answer():
        return said
    checked(recipe, output)
    with pipeline(recipe, output, fresh) as context:
        reconcile_champion(recipe)
        data = prepare_data(context)
        outcome = chain(context, data)
    decided = request_approval(recipe, outcome.version, outcome.promotion, outcome.verdict, outcome.report)
    return ended(outcome.verdict.verdict, f"{outcome.verdict.headline()}{decided}", outcome.report)


def chain(context: RunContext, data: PreparedData, drift: DriftReport | None = None) -> Outcome:
    """Train a teacher, compress it as the recipe plans, measure every model, ask the champion the same, hold the
    smallest against the recipe's demands, register it if it meets them, promote it where the recipe says so, and tell
    all of it in a report."""
    teacher = train_teacher(context, data)
    student = compress(context, data, teacher, Plan.of(context.recipe))
    clear_outputs(Path(context.storage))
    evaluation = evaluate_models(context, data, teacher, student.exported)
    champion = evaluate_champion(context, data, student.exported)
    verdict = decide(context, data, evaluation, champion)
    models: list[StageModel] = [teacher, student.distilled, student.pruned, student.quantized]
    found = Findings(data, models, student.exported, evaluation, champion, verdict, drift=drift)
    found, failure = release(context, found)
    report = publish_report(context, found)
    if failure:
        raise failure
    return Outcome(verdict, found.registered, found.promotion, report)


def compress(context: RunContext, data: PreparedData, teacher: TrainedModel, plan: Plan) -> Compressed:
    """Distil a student from the teacher, prune it, quantize it, and export every model. The training and validation
    splits alone are read, so that it may be called with plan after plan: what two have in common is done once, and the
    test split is kept for the one that is chosen."""
    context = context.following(plan)
    distilled = distill_student(context, data, teacher)
    pruned = prune_student(context, data, teacher, distilled)
    quantized = quantize_student(context, data, teacher, pruned)
    exported = export_models(context, teacher, distilled, pruned, quantized)
    return Compressed(distilled, pruned, quantized, exported)


def release(context: RunContext, found: Findings) -> tuple[Findings, Exception | None]:
    """Registers, writes a first report, without which no champion moves, and promotes. What fails in registering and in
    promoting is returned and not raised, so that the report tells of it: hours of work, and that they ended here."""
    try:
        version = register_model(context, found.data, found.exported, found.evaluation, found.verdict)
    except Exception as error:  # noqa: BLE001 - raised again once the report is written
        failed = RegisteredVersion(record=failed_stage("register", error))
        skipped = Promotion(record=skip_stage("promote", "nothing was registered", ""))
        return found._replace(registered=failed, promotion=skipped), error
    found = found._replace(registered=version)
    found = found._replace(drawn=write_report(context, found))
    try:
        return found._replace(promotion=promote_model(context, version, found.verdict)), None
    except Exception as error:  # noqa: BLE001 - raised again once the report is written
        return found._replace(promotion=Promotion(record=failed_stage("promote", error))), error
