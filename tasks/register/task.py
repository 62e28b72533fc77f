"""An accepted model becomes a version in MLflow's registry, with the evidence that it may ship, and the `challenger`.

The registry is the truth of this stage, not the shelf of finished stages: a version that is there is not made twice,
and one that somebody deleted is made again.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task

from tasks import cache, progress, store, tracking
from tasks.contracts import EvaluationReport, ExportedModels, PreparedData, RegisteredVersion, StageRecord, Verdict
from tasks.evidence import GOLDEN
from tasks.probe.golden import read_golden, serving_settings
from tasks.probe.probe import complaint
from tasks.register import serving
from tasks.register.evidence import KEY, evidence_tags
from tasks.stage import RunContext, skip_stage
from tasks.tracking import CHALLENGER, CHAMPION

STAGE = "register"
EXAMPLE_ROWS = 2


@task(name=STAGE, retries=0)
def register_model(
    context: RunContext, data: PreparedData, exported: ExportedModels, report: EvaluationReport, verdict: Verdict
) -> RegisteredVersion:
    """Registers the selected model: an accepted one as the challenger of the champion that is served; an inconclusive
    one, and where the recipe keeps them a rejected one, without an alias, so that a person can promote it with a
    reason. What does not serve is never a version.

    Raises:
        RegistryError: when the model loaded back from MLflow does not answer as the exported one; no alias is set.
    """
    model = next(model for model in exported.models if model.name == report.selected)
    reason = _why_not(context, report, verdict)
    if reason:
        return RegisteredVersion(record=skip_stage(STAGE, reason, model.artifact.digest))
    started = time.monotonic()
    progress.started(STAGE)
    name = context.recipe.register_.model_name or context.recipe.name
    folder = store.open_artifact(model.artifact)
    golden = store.open_artifact(report.artifact) / GOLDEN
    settings = serving_settings(context.recipe, folder, data.has_pairs)
    tags = evidence_tags(
        data, model, report, verdict, settings=settings, golden=golden, pipeline_run_id=context.mlflow_run_id
    )
    shelf = cache.Shelf(Path(context.storage), STAGE, context.recipe.name)
    with shelf.lock(tags[KEY]), tracking.stage_run(context.mlflow_run_id, STAGE) as log:
        log.params(context.recipe.register_.model_dump(mode="json"))
        found = tracking.find_version(name, KEY, tags[KEY])
        # Every run offers its version as the challenger, unless it is the champion already. What is there and keeps its
        # alias was proved when it got it.
        kept = found is not None and bool({CHALLENGER, CHAMPION} & set(found.aliases))
        wanted = [CHALLENGER] if verdict.verdict == "ACCEPTED" and not kept else []
        source = _proved(folder, golden, settings, log, found) if wanted or found is None else ""
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
        for alias in wanted:
            tracking.set_alias(name, alias, found.version)
    progress.finished(result.record, result.headline())
    return result


def _why_not(context: RunContext, report: EvaluationReport, verdict: Verdict) -> str:
    if not context.recipe.register_.enabled:
        return "register.enabled is false"
    unfit = complaint(report.serving) if report.serving else "it was never loaded in a process of its own"
    if unfit:
        return unfit
    if verdict.verdict == "REJECTED" and not context.recipe.register_.keep_rejected:
        return f"the verdict is {verdict.headline()}"
    return "" if context.mlflow_run_id else "the run is not tracked"


def _proved(
    folder: Path, golden: Path, settings: dict[str, Any], log: tracking.StageLog, found: tracking.Version | None
) -> str:
    """URI of a logged model that, loaded back, answers as the exported one: the version's, or a new one."""
    asked = read_golden(golden)
    source = (
        found.source
        if found
        else tracking.log_model(
            log.run_id,
            serving.CODE,
            {"model": folder, "golden": golden},
            settings=settings,
            example=asked.rows[:EXAMPLE_ROWS],
            requirements=serving.requirements(),
        )
    )
    difference = serving.prove(tracking.load(source), asked.rows, np.array(asked.probabilities))
    log.metrics({"served_max_abs_diff": difference})
    return source
