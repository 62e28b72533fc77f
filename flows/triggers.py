"""What starts, ends or tells of a run without a person: events that call for `retrain`, runs whose process has died,
and the notification blocks that hear of what needs a person. All of it knows Hone's runs by their tag or deployment."""

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args
from uuid import UUID

from hone.configs.recipe import Recipe
from hone.configs.retrain import Event
from hone.flows.services.plan import HEARTBEAT_SECONDS, POOL
from hone.tasks.errors import PreflightError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

TAG = "hone"
HEARTBEAT = "prefect.flow-run.heartbeat"
ENDS = ["Completed", "Failed", "Cancelled", "Crashed", "Suspended", "Paused"]
"""Names of the states after which a run gives no sign any more."""
WAITS = "hone.run.waits"
"""Sent by a run just before it is suspended. Prefect holds the event of a state back until it has seen that of the
state before, for up to 15 minutes where that was lost; this one follows nothing."""
MISSED_HEARTBEATS = 3
NEEDS_A_PERSON = ["Failed", "Crashed", "Suspended"]
"""Of a run of Hone: not accepted or not finished, without its process, waiting for an approval."""
SUBJECT = "{{ flow_run.name }}: {{ flow_run.state.name }}"
BODY = (
    "{{ flow_run.name }} ({{ flow_run.tags | join(', ') }}): "
    "{% if flow_run.state.name == 'Suspended' %}"
    "{% set hours = flow_run.parameters.recipe.register.approval_hours %}"
    "waits for a person{% if hours %}, for {{ hours }} hours from {{ flow_run.state.timestamp }}{% endif %}"
    "{% else %}{{ flow_run.state.message }}{% endif %}\n{{ flow_run|ui_url }}"
)
"""Rendered by the server. A suspended run's state has no message, and the server gives the template no deadline."""


def heartbeat_seconds() -> int:
    """How often a run of a deployment gives a sign: as the variables of Prefect say where it is deployed, else as
    workers of `hone up` do. The deployment hands it on to its runs."""
    names = ("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "PREFECT_RUNNER_HEARTBEAT_FREQUENCY")
    said = next((os.environ[name] for name in names if os.environ.get(name)), "")
    if said and not (said.isdigit() and int(said) >= HEARTBEAT_SECONDS):
        raise PreflightError(
            f"PREFECT_FLOWS_HEARTBEAT_FREQUENCY is '{said}': whole seconds, {HEARTBEAT_SECONDS} or more"
        )
    return int(said) if said else HEARTBEAT_SECONDS


def resource(recipe: Recipe) -> str:
    """What an event has to be about to start `retrain` of this recipe: its model."""
    return f"hone.model.{recipe.register_.model_name or recipe.name}"


def set_retrain_triggers(client: Any, recipe: Recipe, deployment: str) -> None:
    """Makes one automation for each of `retrain.on_events`, and takes away those that are not asked for any more.

    Args:
        client: of Prefect.
        deployment: id of the recipe's `retrain`.
    """
    from prefect.events.actions import RunDeployment
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    for event in get_args(Event):
        name = f"hone: retrain/{recipe.name} on {event}"
        _drop(client, name.removeprefix("hone: "), deployment)  # as an earlier version called it
        core = AutomationCore(
            name=name,
            description=f"An event {event} about {resource(recipe)} starts retrain/{recipe.name}.",
            trigger=EventTrigger(
                expect={event},
                match={"prefect.resource.id": resource(recipe)},
                posture=Posture.Reactive,
                threshold=1,
                within=timedelta(0),
            ),
            actions=[RunDeployment(source="selected", deployment_id=UUID(deployment), parameters=None)],
        )
        _set(client, core, event in recipe.retrain.on_events)


def set_crash_detection(client: Any) -> None:
    """Makes the automation by which a run of Hone that has fallen silent becomes Crashed: Prefect itself leaves a run
    whose worker was killed Running for ever, and with it the next one waiting."""
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    silent = MISSED_HEARTBEATS * heartbeat_seconds()
    core = AutomationCore(
        name="hone: crashed where silent",
        description=f"A flow run of Hone that was alive and gives no sign for {silent} s has lost its process.",
        trigger=EventTrigger(
            after={HEARTBEAT},
            expect={HEARTBEAT, WAITS, *(f"prefect.flow-run.{end}" for end in ENDS)},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=silent),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=f"no sign of its process for {silent} s")],
    )
    _set(client, core, True)


def tell_that_it_waits(run: "FlowRun") -> None:
    """Lets the death watch know that this run gives no sign from now on, and is well."""
    from prefect import events

    events.emit_event(
        event=WAITS,
        resource={"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name},
        related=[{"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"}],
    )


def set_notifications(client: Any, recipe: Recipe, deployments: list[str], also: list[str]) -> None:
    """Makes one automation for each block that is to hear of the recipe's runs, and takes away those of blocks that the
    recipe does not name any more. The server calls the block, so one that fails changes nothing for a run.

    Args:
        deployments: ids of the recipe's deployments.
        also: blocks that `hone deploy --notify` names beside the recipe's; they stay until somebody deletes them.

    Raises:
        PreflightError: when the server has no such block, or one that cannot notify.
    """
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    blocks = dict.fromkeys(recipe.notify, "the recipe") | dict.fromkeys(also, "hone deploy --notify")
    actions = {block: _call(client, block) for block in blocks}
    for block, asked in blocks.items():
        automation = AutomationCore(
            name=f"hone: {recipe.name} tells {block}",
            description=f"What needs a person in runs of {recipe.name}; asked for by {asked}.",
            trigger=EventTrigger(
                expect={f"prefect.flow-run.{state}" for state in NEEDS_A_PERSON},
                match={"prefect.resource.id": "prefect.flow-run.*"},
                match_related={
                    "prefect.resource.id": [f"prefect.deployment.{number}" for number in deployments],
                    "prefect.resource.role": "deployment",
                },
                posture=Posture.Reactive,
                threshold=1,
                within=timedelta(0),
            ),
            actions=[actions[block]],
        )
        _set(client, automation, True)
    for known in client.read_automations():
        mine = known.name.startswith(f"hone: {recipe.name} tells ") and known.description.endswith("by the recipe.")
        if mine and known.name.rpartition(" tells ")[2] not in blocks:
            client.delete_automation(known.id)


def _call(client: Any, block: str) -> Any:
    from prefect.events.actions import CallWebhook, SendNotification
    from prefect.exceptions import ObjectNotFound

    kind, _, name = block.partition("/")
    try:
        document = client.read_block_document_by_name(name, kind)
    except ObjectNotFound as error:
        raise PreflightError(
            f"Prefect has no block {block}, which is to be notified: make it on its page under Blocks, or by "
            "`prefect block create`, and name it as TYPE/NAME, e.g. slack-webhook/team"
        ) from error
    if kind == "webhook":
        return CallWebhook(block_document_id=document.id, payload=BODY)
    if "notify" not in document.block_schema.capabilities:
        raise PreflightError(
            f"the block {block} cannot notify anybody: name one of a kind that can, such as slack-webhook, "
            "microsoft-teams-webhook, sendgrid-email, custom-webhook or webhook"
        )
    return SendNotification(block_document_id=document.id, subject=SUBJECT, body=BODY)


def end_orphans(client: Any) -> list[str]:
    """Ends Hone's runs in this worker's pool that an earlier start left running, or being cancelled: before any worker
    runs, nobody runs them, and they would keep their model's queue waiting. The same run started again reuses what was
    finished.

    Returns:
        Their names.
    """
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        FlowRunFilterTags,
        WorkPoolFilter,
        WorkPoolFilterName,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.states import Cancelled, Crashed

    under_way = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
    criteria = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=under_way)), tags=FlowRunFilterTags(all_=[TAG])
    )
    pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL]))
    found = [
        run
        for run in client.read_flow_runs(flow_run_filter=criteria, work_pool_filter=pool)
        if run.deployment_id is not None
    ]
    for run in found:
        ending = Cancelled if run.state_type == StateType.CANCELLING else Crashed
        client.set_flow_run_state(run.id, ending(message="its worker was stopped while it ran"), force=True)
    return [run.name for run in found]


def _drop(client: Any, name: str, deployment: str) -> None:
    """Takes away an automation of that name, if it starts that deployment."""
    for automation in client.read_automations_by_name(name):
        if any(str(getattr(action, "deployment_id", "")) == deployment for action in automation.actions):
            client.delete_automation(automation.id)


def _set(client: Any, core: Any, there: bool) -> None:
    known = client.read_automations_by_name(core.name)
    if there and known:
        client.update_automation(known[0].id, core)
    elif there:
        client.create_automation(core)
    for automation in known[1:] if there else known:
        client.delete_automation(automation.id)
