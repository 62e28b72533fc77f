"""A person's word on a version that may be promoted: the run pauses, with the evidence beside the form."""

from typing import Any, Literal

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.states import Running
from pydantic import Field

from configs.recipe import Recipe
from tasks import tracking
from tasks.contracts import Promotion, PromotionRecord, RegisteredVersion
from tasks.drift.table import drift_markdown
from tasks.promote import change
from tasks.report.summary import summary_markdown
from tasks.tracking import pages

POLL_SECONDS = 5
NOBODY = "nobody"


class Approval(RunInput):
    """What a person says to a version."""

    decision: Literal["refuse", "approve"] = Field("refuse", description="approve makes it the champion at once.")
    who: str = Field(..., min_length=1, description="Your name, as the history is to tell it.")
    reason: str = Field("", description="Why; the history tells it.")


def ask_person(recipe: Recipe, version: RegisteredVersion, promotion: Promotion, report: dict[str, Any]) -> str:
    """Pauses a deployment's run until a person approves or refuses the version, and does as they say; what becomes of
    it stands in the history, a refusal and a silence too. Does nothing where nobody is to be asked, and where no server
    could show the form: there the version waits for `hone promote`.

    Returns:
        What was decided, to be put behind the verdict; empty where nobody was to be asked.

    Raises:
        PromotionError: when it was approved and cannot be promoted, as another change came first.
    """
    if not promotion.waits:
        return ""
    if not _served():
        return f"; version {version.version} waits for `hone promote {version.name} {version.version}`"
    return f"; {_told(_decided(recipe, version, report))}"


def _decided(recipe: Recipe, version: RegisteredVersion, report: dict[str, Any]) -> PromotionRecord:
    hours = recipe.register_.approval_hours
    form = Approval.with_initial_data(description=evidence(version, report))
    try:
        answer = pause_flow_run(wait_for_input=form, timeout=max(1, round(hours * 3600)), poll_interval=POLL_SECONDS)
    except FlowPauseTimeout:
        _go_on()
        silence = f"nobody decided within {hours:g} hours (register.approval_hours)"
        return change.refuse(version.name, version.version, NOBODY, silence)
    if answer.decision == "approve":
        return change.promote(version.name, version.version, answer.who, answer.reason)
    return change.refuse(version.name, version.version, answer.who, answer.reason)


def evidence(version: RegisteredVersion, report: dict[str, Any]) -> str:
    """What the person sees above the form."""
    serving = tracking.version_at(version.name, tracking.CHAMPION)
    run = pages.run_page(report["mlflow_run_id"])
    head = (
        f"May **{version.name} version {version.version}** be the champion? "
        + (f"It is version {serving.version} now. " if serving else "There is none yet. ")
        + ("The report is " + (f"with [the run in MLflow]({run})." if run else f"`{report['folder']}/report.html`."))
    )
    drift = [drift_markdown(report["drift"])] if report["drift"] else []
    return "\n\n".join([head, summary_markdown(report), *drift])


def _served() -> bool:
    """Whether a deployment started this run: its server shows the form, and a worker goes on."""
    context = FlowRunContext.get()
    return context is not None and context.flow_run is not None and context.flow_run.deployment_id is not None


def _go_on() -> None:
    """Prefect would let a run fail that ends while it is paused."""
    context = FlowRunContext.get()
    if context is not None and context.flow_run is not None:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(context.flow_run.id, Running(), force=True)


def _told(record: PromotionRecord) -> str:
    did = "refused" if record.action == "refuse" else "approved"
    why = f": {record.reason}" if record.reason else ""
    return f"{record.who} {did} version {record.to_version}{why}"
