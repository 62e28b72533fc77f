"""A person's word on a version that may be promoted: the run is suspended, with the evidence above the form.

A suspended run has no process and keeps nobody waiting: it takes a day and a restart of every server. Once a person has
answered, a worker starts it again from its first line, and there `resumed` does as they said. For the case that nobody
answers, the run leaves behind another run of its own deployment, scheduled for the deadline, which ends it. Whoever of
the two is first takes the decision, in Prefect's database, and the other stands back.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.states import Completed, Scheduled, State
from pydantic import BaseModel, Field

from hone.configs.recipe import Recipe
from hone.flows.outcome import TAG, ended, mark, served, state_of, tag_of, this_run
from hone.flows.triggers import tell_that_it_waits
from hone.tasks import storage, tracking
from hone.tasks.contracts import Promotion, PromotionRecord, RegisteredVersion, Verdict
from hone.tasks.drift.table import drift_markdown
from hone.tasks.promote import change
from hone.tasks.report.summary import summary_markdown
from hone.tasks.tracking import pages

KEY = "hone-approval"
EXPIRES = "hone-expires"
"""Input of a run that is there to end another: the id of the one that waits."""
DECIDED = "hone-decided"
"""Input of the run that waits: who took the decision, a person or the deadline."""
PERSON, NOBODY = "person", "nobody"
GRACE_SECONDS = 5
"""After the deadline, when Prefect takes no answer any more."""


class Approval(RunInput):
    """What a person says to a version."""

    decision: Literal["refuse", "approve"] = Field("refuse", description="approve makes it the champion at once.")
    who: str = Field(..., min_length=1, description="Your name, as the history is to tell it.")
    reason: str = Field("", description="Why; the history tells it.")


class ApprovalRequest(BaseModel):
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
    deadline: str
    """ISO 8601, UTC."""
    expiry: str = ""
    """Id of the run that ends this one at the deadline."""


def request_approval(
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
    run = this_run()
    if run is None or not served():
        return f"; version {version.version} waits for `hone promote {version.name} {version.version}`"
    deadline = datetime.now(UTC) + timedelta(hours=recipe.register_.approval_hours)
    question = ApprovalRequest(
        name=version.name,
        version=version.version,
        champion=_champion(version.name),
        verdict=verdict.verdict,
        headline=verdict.headline(),
        storage=recipe.compute.storage,
        hours=recipe.register_.approval_hours,
        deadline=deadline.isoformat(),
    )
    with get_client(sync_client=True) as client:
        question = question.model_copy(update={"expiry": _schedule_expiry(client, run, question, deadline)})
        client.create_flow_run_input(run.id, KEY, question.model_dump_json())
        mark(client, run, "WAITING", verdict.verdict)
    get_run_logger().info("%s; %s", question.headline, _waits(question))
    tell_that_it_waits(run)
    form = Approval.with_initial_data(description=evidence(question, report))
    suspend_flow_run(wait_for_input=form, timeout=_seconds(question), key=KEY)
    return ""  # not reached: a run that is suspended ends here


def handle_answer() -> State[dict[str, Any]] | None:
    """The end of a run that was suspended and that a person has answered: does as they say, and what becomes of it
    stands in the history, a refusal too. Of a run that was scheduled to end another, it ends that. None of any other.

    An approval says that the version is to follow the champion it was held against: where that is another one by now,
    nothing changes.

    Raises:
        PromotionError: when it was approved and cannot be promoted, as another change came first.
    """
    run = this_run()
    if run is None or not served():
        return None
    with get_client(sync_client=True) as client:
        if waiting := _input(client, run.id, EXPIRES):
            return Completed(message=expire(client, UUID(waiting)), data={})
        question = _question(client, run.id)
        if question is None:
            return None
        answer = suspend_flow_run(wait_for_input=Approval, timeout=_seconds(question), key=KEY)
        tracking.configure(storage.folder_of(question.storage))
        if _decide(client, run.id, PERSON) == NOBODY:
            return _end(question, _expired(question))
        state = _end(question, _done(question, answer))
        _forget(client, question.expiry)
    return state


def expire(client: SyncPrefectClient, run: UUID) -> str:
    """Ends a run that waits for a person who did not come; the history tells it.

    Args:
        run: Id of the flow run that waits.

    Returns:
        What was done.
    """
    try:
        found, question = client.read_flow_run(run), _question(client, run)
    except ObjectNotFound:
        return "the run that waited was deleted"
    if question is None or not _unanswered(found) or _decide(client, run, NOBODY) != NOBODY:
        return "a person decided, or the run has ended"
    tracking.configure(storage.folder_of(question.storage))
    record = _expired(question)
    try:
        mark(client, found, question.verdict, "EXPIRED", called=question.name)
        client.set_flow_run_state(run, state_of(question.verdict, _told(question, record), {}), force=True)
    except ObjectNotFound:
        return f"the run that waited was deleted; {record.reason}"
    return record.reason


def evidence(question: ApprovalRequest, report: dict[str, Any]) -> str:
    """What the person sees above the form."""
    page = pages.run_page(report["mlflow_run_id"])
    head = (
        f"May **{question.name} version {question.version}** be the champion? "
        + (f"It is version {question.champion} now. " if question.champion else "There is none yet. ")
        + f"The run {_waits(question)}. "
        + ("The report is " + (f"with [the run in MLflow]({page})." if page else f"`{report['folder']}/report.html`."))
    )
    drift = [drift_markdown(report["drift"])] if report["drift"] else []
    return "\n\n".join([head, summary_markdown(report), *drift])


def _done(question: ApprovalRequest, answer: Approval) -> PromotionRecord:
    if answer.decision == "refuse":
        return change.refuse(question.name, question.version, answer.who, answer.reason)
    serving = _champion(question.name)
    if serving == question.version and (made := _made(question, answer.who)):
        return made  # this run was stopped after it had promoted it
    if serving != question.champion:
        reason = (
            f"approved, but held against {_version(question.champion)}, and the champion is {_version(serving)} by now"
        )
        return change.refuse(question.name, question.version, answer.who, reason)
    return change.promote(question.name, question.version, answer.who, answer.reason)


def _made(question: ApprovalRequest, who: str) -> PromotionRecord | None:
    """The entry by which this run has promoted the version already."""
    last = change.records(question.name)[-1:]
    same = [one for one in last if (one.action, one.to_version, one.who) == ("promote", question.version, who)]
    return same[0] if same else None


def _end(question: ApprovalRequest, record: PromotionRecord) -> State[dict[str, Any]]:
    word = "EXPIRED" if record.who == NOBODY else "REFUSED" if record.action == "refuse" else "APPROVED"
    return ended(question.verdict, _told(question, record), {}, word)


def _told(question: ApprovalRequest, record: PromotionRecord) -> str:
    if record.who == NOBODY:
        told = f"version {record.to_version} was not promoted: {record.reason}"
    else:
        did = "refused" if record.action == "refuse" else "approved"
        told = f"{record.who} {did} version {record.to_version}{': ' + record.reason if record.reason else ''}"
    return f"{question.headline}; {told}"


def _expired(question: ApprovalRequest) -> PromotionRecord:
    """The entry by which the history tells it, written once."""
    reason = f"nobody decided within {question.hours:g} hours (register.approval_hours)"
    for record in change.records(question.name):
        if (record.action, record.to_version, record.who, record.reason) == (
            "refuse", question.version, NOBODY, reason,
        ):  # fmt: skip
            return record
    return change.refuse(question.name, question.version, NOBODY, reason)


def _unanswered(run: FlowRun) -> bool:
    """Whether nobody answered: it still waits, or Prefect itself has failed it as its time was over, which its own
    service does within seconds."""
    if run.state is None or run.state.is_paused():
        return run.state is not None
    return run.state.is_failed() and str(run.state.message).endswith("and never resumed.")


def _decide(client: SyncPrefectClient, run: UUID, who: str) -> str:
    """Takes the decision for a person or for nobody, unless it is taken; returns whose it is. Prefect's database lets a
    run have one input of a key, so of two at a time one is first."""
    try:
        client.create_flow_run_input(run, DECIDED, who)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 409:
            raise
    return _input(client, run, DECIDED)


def _schedule_expiry(client: SyncPrefectClient, run: FlowRun, question: ApprovalRequest, deadline: datetime) -> str:
    """A run of the same deployment that ends this one at its deadline; on the page it stands among those to come."""
    due: State[None] = Scheduled(scheduled_time=deadline + timedelta(seconds=GRACE_SECONDS))
    assert run.deployment_id is not None  # `served`
    expiry = client.create_flow_run_from_deployment(
        run.deployment_id,
        name=f"{question.name} version {question.version}: end of the time to approve",
        state=due,
        tags=[TAG, tag_of("EXPIRY")],
    )
    client.create_flow_run_input(expiry.id, EXPIRES, str(run.id))
    return str(expiry.id)


def _forget(client: SyncPrefectClient, expiry: str) -> None:
    """Nothing is left to do for the run that would have ended this one."""
    try:
        client.delete_flow_run(UUID(expiry))
    except (ObjectNotFound, ValueError):  # deleted by hand
        return


def _waits(question: ApprovalRequest) -> str:
    until = datetime.fromisoformat(question.deadline)
    return f"waits for a person until {until:%Y-%m-%d %H:%M} UTC; after that nothing changes"


def _input(client: SyncPrefectClient, run: UUID, key: str) -> str:
    """A run's input of a key; empty where it has none."""
    found = client.filter_flow_run_input(run, key, limit=1, exclude_keys=set())
    return next((one.value for one in found if one.key == key), "")


def _question(client: SyncPrefectClient, run: UUID) -> ApprovalRequest | None:
    found = _input(client, run, KEY)
    return ApprovalRequest.model_validate_json(found) if found else None


def _seconds(question: ApprovalRequest) -> int:
    return max(1, round(question.hours * 3600))


def _champion(name: str) -> str:
    """The version that is served; empty where none is."""
    serving = tracking.version_at(name, tracking.CHAMPION)
    return serving.version if serving else ""


def _version(version: str) -> str:
    return f"version {version}" if version else "none"
