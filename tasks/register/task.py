"""An accepted model becomes a version in MLflow's registry, with the evidence that it may ship, and the `challenger`.

The registry is the truth of this stage, not the shelf of finished stages: a version that is there is not made twice,
and one that somebody deleted is made again.
"""

import time
from pathlib import Path

from prefect import task

from tasks import cache, progress, store, tracking
from tasks.contracts import (
    EvaluationReport,
    ExportedModels,
    PreparedData,
    RegisteredVersion,
    StageRecord,
    Verdict,
)
from tasks.model.text import read_split
from tasks.register import serving
from tasks.register.aliases import give_aliases, wanted_aliases
from tasks.register.evidence import KEY, evidence_tags
from tasks.stage import RunContext, skip_stage

STAGE = "register"
PROOF_ROWS = 8
EXAMPLE_ROWS = 2


@task(name=STAGE, retries=0)
def register_model(
    context: RunContext, data: PreparedData, exported: ExportedModels, report: EvaluationReport, verdict: Verdict
) -> RegisteredVersion:
    """Registers the selected model if the verdict is ACCEPTED, and makes it the champion where the recipe says so.

    Raises:
        RegistryError: when the model loaded back from MLflow does not answer as the exported one; no alias is set.
    """
    model = next(model for model in exported.models if model.name == report.selected)
    reason = _why_not(context, verdict)
    if reason:
        return RegisteredVersion(record=skip_stage(STAGE, reason, model.artifact.digest))
    started = time.monotonic()
    progress.started(STAGE)
    name = context.recipe.register_.model_name or context.recipe.name
    folder = store.open_artifact(model.artifact)
    settings = serving.serving_settings(context.recipe, folder, data.has_pairs)
    tags = evidence_tags(data, model, report, verdict, settings=settings, pipeline_run_id=context.mlflow_run_id)
    shelf = cache.Shelf(Path(context.storage), STAGE, context.recipe.name)
    with shelf.lock(tags[KEY]), tracking.stage_run(context.mlflow_run_id, STAGE) as log:
        log.params(context.recipe.register_.model_dump(mode="json"))
        found = tracking.find_version(name, KEY, tags[KEY])
        wanted = wanted_aliases(found, context.recipe.register_.promote)
        # What is there and keeps its aliases was proved when it got them.
        source = _proved(context, data, folder, log, found) if wanted else ""
        if found is None:
            found = tracking.create_version(name, source, log.run_id, tags, f"{verdict.verdict}: {report.headline()}")
            status, reason = "ran", "no version has this model and this evidence"
        else:
            log.cached(found.run_id)
            status, reason = "cached", f"version {found.version} has this model and this evidence"
        result = RegisteredVersion(
            record=StageRecord(
                name=STAGE,
                status=status,
                reason="; ".join([reason, *(f"alias {alias} set" for alias in wanted)]),
                seconds=round(time.monotonic() - started, 3),
                mlflow_run_id=log.run_id,
                digest=model.artifact.digest,
            ),
            name=name,
            version=found.version,
            aliases=sorted({*found.aliases, *wanted}),
        )
        log.result(result)
        give_aliases(found, wanted)
    progress.finished(result.record, result.headline())
    return result


def _why_not(context: RunContext, verdict: Verdict) -> str:
    if not context.recipe.register_.enabled:
        return "register.enabled is false"
    if verdict.verdict != "ACCEPTED":
        return f"the verdict is {verdict.headline()}"
    return "" if context.mlflow_run_id else "the run is not tracked"


def _proved(
    context: RunContext, data: PreparedData, folder: Path, log: tracking.StageLog, found: tracking.Version | None
) -> str:
    """URI of a logged model that, loaded back, answers as the exported one: the version's, or a new one."""
    recipe = context.recipe
    rows = serving.examples(read_split(store.open_artifact(data.artifact), "test"), PROOF_ROWS)
    source = (
        found.source
        if found
        else tracking.log_model(
            log.run_id,
            serving.CODE,
            folder,
            settings=serving.serving_settings(recipe, folder, data.has_pairs),
            example=rows[:EXAMPLE_ROWS],
            requirements=serving.requirements(),
        )
    )
    expected = serving.probabilities(folder, rows, recipe.model.max_length, recipe.export.providers)
    log.metrics({"served_max_abs_diff": serving.prove(tracking.load(source), rows, expected)})
    return source
