"""An accepted version becomes the champion where the recipe says so: once, so that no repeated run undoes a rollback.

The stage of the chain, and the same change as a task of the flows `promote` and `rollback`.
"""

import time

from prefect import task
from prefect.logging import get_logger

from hone.configs.recipe import Recipe
from hone.tasks import progress, tracking
from hone.tasks.contracts import Promotion, PromotionRecord, RegisteredVersion, StageRecord, Verdict
from hone.tasks.errors import RegistryError
from hone.tasks.promote import change, history
from hone.tasks.stage import RunContext, skip_stage

STAGE = "promote"


@task(name=STAGE, retries=0)
def promote_model(context: RunContext, registered: RegisteredVersion, verdict: Verdict) -> Promotion:
    """Makes the registered version the champion, if `register.promote` is auto and nobody ever asked that of it before;
    with approval, it waits for a person instead.

    Where that is refused, or another promotion came first, the run goes on and its report says so: the evidence stands,
    and the champion is the one it was, or the one that came first.
    """
    try:
        reason = _why_not(context, registered, verdict)
    except RegistryError as error:
        reason = str(error)
    if reason:
        return Promotion(record=skip_stage(STAGE, reason, registered.record.digest))
    if context.recipe.register_.promote == "approval":
        waits = (
            f"register.promote is approval: version {registered.version} waits for a person, who may run "
            f"`hone promote {registered.name} {registered.version}`"
        )
        return Promotion(record=skip_stage(STAGE, waits, registered.record.digest), waits=True)
    started = time.monotonic()
    progress.started(STAGE)
    with tracking.stage_run(context.mlflow_run_id, STAGE) as log:
        try:
            who, vouched_by = tracking.identity()
            made = change.promote(registered.name, registered.version, who, vouched_by=vouched_by)
        except RegistryError as error:  # refused by Hone, or MLflow is away: the champion is the one it was
            log.refused(str(error))
            return Promotion(record=skip_stage(STAGE, str(error), registered.record.digest))
        result = Promotion(
            record=StageRecord(
                name=STAGE,
                status="ran",
                reason="it is accepted, and register.promote is auto",
                seconds=round(time.monotonic() - started, 3),
                mlflow_run_id=log.run_id,
                digest=registered.record.digest,
            ),
            change=made,
        )
        log.tags({tag: value for tag, value in history.to_tags(made).items() if value})
        log.result(result)
    progress.finished(result.record, result.headline())
    return result


@task(name="reconcile", retries=0)
def reconcile_champion(recipe: Recipe) -> list[PromotionRecord]:
    """Writes into the history where somebody moved the champion without Hone, and returns those entries; none where
    the registry is away, as the next run does it then."""
    try:
        return change.reconcile(recipe.register_.model_name or recipe.name, tracking.user())
    except RegistryError as error:
        get_logger("hone").warning("the champion's history was not looked at: %s", error)
        return []


@task(name="promote version", retries=0)
def promote_version(name: str, version: str, who: str, override: str) -> PromotionRecord:
    """As `change.promote`, by whom the registry's server knows where nobody is named."""
    who, vouched_by = (who, tracking.CLAIMED) if who else tracking.identity()
    return change.promote(name, version, who, override, vouched_by)


@task(name="roll back", retries=0)
def roll_back(name: str, who: str, reason: str) -> PromotionRecord:
    """As `change.roll_back`, by whom the registry's server knows where nobody is named."""
    who, vouched_by = (who, tracking.CLAIMED) if who else tracking.identity()
    return change.roll_back(name, who, reason, vouched_by)


def _why_not(context: RunContext, registered: RegisteredVersion, verdict: Verdict) -> str:
    if context.recipe.register_.promote == "never":
        return "register.promote is never"
    if verdict.verdict != "ACCEPTED":
        return f"the verdict is {verdict.verdict}"
    if not registered.version:
        return "nothing was registered"
    serving = tracking.version_at(registered.name, tracking.CHAMPION)
    asks = context.recipe.register_.promote == "approval"
    if asks and serving is not None and serving.tags.get("hone.model_digest") == registered.record.digest:
        return f"the champion, version {serving.version}, is this very model"
    before = next((one for one in change.records(registered.name) if _asked(one, registered.version)), None)
    return f"version {registered.version} was up for it before: entry {before.number} of the history" if before else ""


def _asked(record: PromotionRecord, version: str) -> bool:
    """Whether somebody asked before that the version be the champion. A change that a kill interrupted may be made
    again; of one that is under way, `change.promote` finds out which it is."""
    return record.to_version == version and record.outcome in ("took effect", "lost", "refused")
