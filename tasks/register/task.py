"""An accepted model becomes a version in MLflow's registry, with the evidence that it may ship, and the `challenger`.

The registry is the truth of this stage, not the cache of finished stages: a version that is there is not made twice,
and one that somebody deleted is made again.
"""

import tempfile
import time
from pathlib import Path

from prefect import task

from hone.tasks import cache, progress, store, tracking
from hone.tasks.contracts import EvaluationReport, ExportedModels, PreparedData, RegisteredVersion, StageRecord, Verdict
from hone.tasks.errors import RegistryError
from hone.tasks.evidence import GOLDEN
from hone.tasks.model.runtime.delivered import default_session
from hone.tasks.probe.probe import failure_reason
from hone.tasks.register import serving
from hone.tasks.register.evidence import KEY, evidence_tags
from hone.tasks.stage import RunContext, skip_stage
from hone.tasks.tracking import CHALLENGER, CHAMPION, files

STAGE = "register"


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
    session = report.session or default_session(context.recipe)
    tags = evidence_tags(
        data,
        model,
        report,
        verdict,
        session=session,
        pipeline_run_id=context.mlflow_run_id,
        task=context.recipe.objective,
    )
    stage_cache = cache.StageCache(Path(context.storage), STAGE, context.recipe.name)
    with (
        stage_cache.lock(tags[KEY]),
        tracking.stage_run(context.mlflow_run_id, STAGE) as log,
        tempfile.TemporaryDirectory(prefix="hone-register-") as room,
    ):
        log.params(context.recipe.register_.model_dump(mode="json"))
        found, root, spoilt = _unchanged(tracking.find_version(name, KEY, tags[KEY]), Path(room, "found"))
        # Every run offers its version as the challenger, unless it is the champion already. What is there and keeps its
        # alias was proved when it got it.
        kept = found is not None and bool({CHALLENGER, CHAMPION} & set(found.aliases))
        moved = [CHALLENGER] if verdict.verdict == "ACCEPTED" and not kept else []
        worse = _worse(name, report) if moved else ""
        if found is None or root is None:
            source, root = serving.log(log.run_id, folder, golden, session, Path(room, "new"))
            tags |= files.to_tag(files.digests_of(root))
            log.metrics({"served_max_abs_diff": serving.prove(root, golden)})
            found = tracking.create_version(name, source, log.run_id, tags, f"{verdict.verdict}: {report.headline()}")
            status, reason = "ran", spoilt or "no version has this model and this evidence"
        else:
            if moved:
                log.metrics({"served_max_abs_diff": serving.prove(root, golden)})
            log.cached(found.run_id)
            status, reason = "cached", f"version {found.version} has this model and this evidence"
        result = RegisteredVersion(
            record=StageRecord(
                name=STAGE,
                status=status,
                reason="; ".join([reason, *(f"alias {alias} set{worse}" for alias in moved)]),
                seconds=round(time.monotonic() - started, 3),
                mlflow_run_id=log.run_id,
                digest=model.artifact.digest,
            ),
            name=name,
            version=found.version,
            aliases=sorted({*found.aliases, *moved}),
        )
        log.result(result)
        for alias in moved:
            tracking.set_alias(name, alias, found.version)
    progress.finished(result.record, result.headline())
    return result


def _worse(name: str, report: EvaluationReport) -> str:
    """What to say where the challenger so far was recorded as more accurate, or faster, than the one that takes its
    place; empty where it was neither."""
    before = tracking.version_at(name, CHALLENGER)
    if before is None:
        return ""
    now, primary = report.candidate(report.selected), report.primary
    said = []
    for what, value, tag, better in (
        (primary.title, now.metrics.get(primary.name), f"hone.{primary.name}", primary.better),
        ("speed-up", now.speedup, "hone.speedup", "higher"),
    ):
        try:
            old = float(before.tags.get(tag, ""))
        except ValueError:  # no number was recorded
            continue
        if value is None:
            continue
        gained = float(f"{value:.4g}") - float(f"{old:.4g}")
        if gained < 0 if better == "higher" else gained > 0:
            said.append(f"{what} {value:.4g} after {old:.4g}")
    return f", although it is worse than version {before.version}, which had it: {', '.join(said)}" if said else ""


def _why_not(context: RunContext, report: EvaluationReport, verdict: Verdict) -> str:
    if not context.recipe.register_.enabled:
        return "register.enabled is false"
    unfit = failure_reason(report.serving) if report.serving else "it was never loaded in a process of its own"
    if unfit:
        return unfit
    if verdict.verdict == "REJECTED" and not context.recipe.register_.keep_rejected:
        return f"the verdict is {verdict.headline()}"
    return "" if context.mlflow_run_id else "the run is not tracked"


def _unchanged(found: tracking.Version | None, room: Path) -> tuple[tracking.Version | None, Path | None, str]:
    """The version, and where its files now lie, if they are what was judged; else none, and why."""
    if found is None:
        return None, None, ""
    try:
        return found, tracking.fetch_checked(found, room), ""
    except RegistryError as error:
        return None, None, f"registered again: {error}"
