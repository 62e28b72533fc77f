"""What starts or ends a run without a person: events that call for `retrain`, and runs whose process has died."""

from datetime import timedelta
from typing import Any, get_args
from uuid import UUID

from configs.recipe import Recipe
from configs.retrain import Event

HEARTBEAT = "prefect.flow-run.heartbeat"
ENDS = ["Completed", "Failed", "Cancelled", "Crashed", "Suspended"]
SILENT_SECONDS = 90
"""Three heartbeats: workers of `hone up` send one every 30 s."""


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
        name = f"retrain/{recipe.name} on {event}"
        wanted = AutomationCore(
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
        _set(client, wanted, event in recipe.retrain.on_events)


def set_death_watch(client: Any) -> None:
    """Makes the automation by which a run that has fallen silent becomes Crashed: Prefect itself leaves a run whose
    worker was killed Running for ever, and with it the next one waiting."""
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    wanted = AutomationCore(
        name="hone: crashed where silent",
        description=f"A flow run that was alive and gives no sign for {SILENT_SECONDS} s has lost its process.",
        trigger=EventTrigger(
            after={HEARTBEAT},
            expect={HEARTBEAT, *(f"prefect.flow-run.{end}" for end in ENDS)},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=SILENT_SECONDS),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=f"no sign of its process for {SILENT_SECONDS} s")],
    )
    _set(client, wanted, True)


def end_orphans(client: Any) -> list[str]:
    """Ends the deployments' runs that an earlier start left running, or being cancelled: before any worker runs, nobody
    runs them, and they would keep their model's queue waiting. The same run started again reuses what was finished.

    Returns:
        Their names.
    """
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.states import Cancelled, Crashed

    under_way = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
    wanted = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=under_way)))
    found = [run for run in client.read_flow_runs(flow_run_filter=wanted) if run.deployment_id is not None]
    for run in found:
        ending = Cancelled if run.state_type == StateType.CANCELLING else Crashed
        client.set_flow_run_state(run.id, ending(message="its worker was stopped while it ran"), force=True)
    return [run.name for run in found]


def _set(client: Any, wanted: Any, there: bool) -> None:
    known = client.read_automations_by_name(wanted.name)
    if there and known:
        client.update_automation(known[0].id, wanted)
    elif there:
        client.create_automation(wanted)
    for automation in known[1:] if there else known:
        client.delete_automation(automation.id)
