"""A person's word on a version that may be promoted: the run is suspended, with the evidence above the form.

A suspended run has no process and keeps nobody waiting: it takes a day and a restart of every server. Once a person has
answered, a worker starts it again from its first line, and there `resumed` does as they said. Where nobody answers in
time, the flow `lapse`, which was scheduled for that moment, ends it.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.states import Completed, Scheduled, State
from pydantic import BaseModel, Field

from configs.recipe import Recipe
from tasks import storage, tracking
from tasks.contracts import Promotion, PromotionRecord, RegisteredVersion, Verdict
from tasks.drift.table import drift_markdown
from tasks.promote import change
from tasks.report.summary import summary_markdown
from tasks.tracking import pages

KEY = "hone-approval"
NOBODY = "nobody"


class Approval(RunInput):
    """What a person says to a version."""

    decision: Literal["refuse", "approve"] = Field("refuse", description="approve makes it the champion at once.")
    who: str = Field(..., min_length=1, description="Your name, as the history is to tell it.")
    reason: str = Field("", description="Why; the history tells it.")


class Question(BaseModel):
    """What a suspended run waits to hear, kept with it."""

    name: str
    version: str
    champion: str
    """Version that it was held against; empty where there was none."""
    verdict: str
    headline: str
    storage: str
    """Of the recipe: where MLflow's records lie, unless it is a server."""
    hours: float


def ask_person(
    recipe: Recipe, version: RegisteredVersion, promotion: Promotion, verdict: Verdict, report: dict[str, Any]
) -> str:
    """Suspends a deployment's run until a person approves or refuses the version. Does nothing where nobody is to be
    asked, and where no server could show the form: there the version waits for `hone promote`.

    Returns:
        What is to be put behind the verdict; empty where nobody was to be asked.

    Raises:
        Pause: Prefect's way out of a run that is suspended.
    """
    if not promotion.waits:
        return f"; not promoted: {promotion.record.reason}" if recipe.register_.promote == "approval" else ""
    run = _served()
    if run is None:
        return f"; version {version.version} waits for `hone promote {version.name} {version.version}`"
    question = Question(
        name=version.name,
        version=version.version,
        champion=_champion(version.name),
        verdict=verdict.verdict,
        headline=verdict.headline(),
        storage=recipe.compute.storage,
        hours=recipe.register_.approval_hours,
    )
    with get_client(sync_client=True) as client:
        client.create_flow_run_input(run, KEY, question.model_dump_json())
        _schedule_lapse(client, run, question)
    form = Approval.with_initial_data(description=evidence(question, report))
    suspend_flow_run(wait_for_input=form, timeout=_seconds(question), key=KEY)
    return ""  # not reached: a run that is suspended ends here


def resumed() -> State[dict[str, Any]] | None:
    """The end of a run that was suspended and that a person has answered: does as they say, and what becomes of it
    stands in the history, a refusal too. None of any other run.

    An approval says that the version is to follow the champion it was held against: where that is another one by now,
    nothing changes.

    Raises:
        PromotionError: when it was approved and cannot be promoted, as another change came first.
    """
    run = _served()
    if run is None:
        return None
    with get_client(sync_client=True) as client:
        question = _question(client, run)
    if question is None:
        return None
    answer = suspend_flow_run(wait_for_input=Approval, timeout=_seconds(question), key=KEY)
    tracking.configure(storage.folder_of(question.storage))
    return _end(question, _done(question, answer))


@flow(name="lapse")
def lapse(run: str) -> State[None]:
    """End a run that waits for a person who did not come; the history tells it. Scheduled by the run itself.

    Args:
        run: Id of the flow run that waits.
    """
    with get_client(sync_client=True) as client:
        found, question = client.read_flow_run(UUID(run)), _question(client, UUID(run))
        if question is None or found.state is None or not found.state.is_paused():
            return Completed(message="a person decided, or the run has ended")
        tracking.configure(storage.folder_of(question.storage))
        silence = f"nobody decided within {question.hours:g} hours (register.approval_hours)"
        record = change.refuse(question.name, question.version, NOBODY, silence)
        client.set_flow_run_state(UUID(run), _end(question, record), force=True)
    return Completed(message=silence)


def evidence(question: Question, report: dict[str, Any]) -> str:
    """What the person sees above the form."""
    page = pages.run_page(report["mlflow_run_id"])
    head = (
        f"May **{question.name} version {question.version}** be the champion? "
        + (f"It is version {question.champion} now. " if question.champion else "There is none yet. ")
        + ("The report is " + (f"with [the run in MLflow]({page})." if page else f"`{report['folder']}/report.html`."))
    )
    drift = [drift_markdown(report["drift"])] if report["drift"] else []
    return "\n\n".join([head, summary_markdown(report), *drift])


def _done(question: Question, answer: Approval) -> PromotionRecord:
    if answer.decision == "refuse":
        return change.refuse(question.name, question.version, answer.who, answer.reason)
    serving = _champion(question.name)
    if serving != question.champion:
        reason = (
            f"approved, but held against {_version(question.champion)}, and the champion is {_version(serving)} by now"
        )
        return change.refuse(question.name, question.version, answer.who, reason)
    return change.promote(question.name, question.version, answer.who, answer.reason)


def _end(question: Question, record: PromotionRecord) -> State[dict[str, Any]]:
    if record.who == NOBODY:
        told = f"version {record.to_version} was not promoted: {record.reason}"
    else:
        did = "refused" if record.action == "refuse" else "approved"
        told = f"{record.who} {did} version {record.to_version}{': ' + record.reason if record.reason else ''}"
    return Completed(name=question.verdict, message=f"{question.headline}; {told}", data={})


def _schedule_lapse(client: SyncPrefectClient, run: UUID, question: Question) -> None:
    try:
        deployment = client.read_deployment_by_name("lapse/lapse")
    except ObjectNotFound:  # deployed by an older version; Prefect itself refuses an answer that comes too late
        return
    due: State[None] = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(seconds=_seconds(question)))
    client.create_flow_run_from_deployment(deployment.id, parameters={"run": str(run)}, state=due)


def _question(client: SyncPrefectClient, run: UUID) -> Question | None:
    found = client.filter_flow_run_input(run, KEY, limit=1, exclude_keys=set())
    return Question.model_validate_json(found[0].value) if found else None


def _seconds(question: Question) -> int:
    return max(1, round(question.hours * 3600))


def _served() -> UUID | None:
    """This run, if a deployment started it: its server shows the form, and a worker goes on."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.deployment_id is None:
        return None
    return context.flow_run.id


def _champion(name: str) -> str:
    """The version that is served; empty where none is."""
    serving = tracking.version_at(name, tracking.CHAMPION)
    return serving.version if serving else ""


def _version(version: str) -> str:
    return f"version {version}" if version else "none"
