"""A person's word: the run pauses with the evidence, and what they say, or do not say, stands in the history."""

import contextlib
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.states import Scheduled, State

from hone.configs.recipe import Recipe, parse_recipe
from hone.flows.approval import DECIDED, KEY, NOBODY, Approval, ApprovalRequest, expire, handle_answer, request_approval
from hone.flows.local_server import prefect_api
from hone.flows.outcome import ended, recipe_name, told
from hone.flows.shell import no_heartbeat
from hone.tasks.contracts import Promotion, RegisteredVersion, StageRecord, Verdict
from hone.tasks.promote import change
from hone.tasks.tracking import server
from tests.promote.conftest import champion, model, shared
from tests.register.conftest import storage
from tests.report.conftest import recipe, report, results

__all__ = ["model", "recipe", "report", "results", "shared", "storage"]

pytestmark = pytest.mark.usefixtures("prefect_server")

Model = Callable[..., str]
RECORD = StageRecord(name="promote", status="skipped", reason="register.promote is approval", seconds=0.0)


VERDICT = Verdict(record=RECORD, verdict="ACCEPTED", selected="quantized", checks=[])


def recipe_of(name: str) -> Recipe:
    register = {"promote": "approval", "approval_hours": 1.0}
    compute = {"storage": str(server.place().storage)}
    return parse_recipe(
        {"name": name, "data": {"train": "a.csv"}, "model": {"source": "a"}, "register": register, "compute": compute}
    )


@flow(name="asks", validate_parameters=False)
@told(recipe_name)
def asks(recipe: Recipe, version: str, report: dict[str, Any]) -> State[Any]:
    """A run from its first line, as a worker starts it: also once it is resumed."""
    if said := handle_answer():
        return said
    registered = RegisteredVersion(record=RECORD, name=recipe.name, version=version)
    said_to = request_approval(recipe, registered, Promotion(record=RECORD, waits=True), VERDICT, report)
    return ended("ACCEPTED", said_to, {})


def suspended(client: SyncPrefectClient, recipe: Recipe, version: str, report: dict[str, Any]) -> tuple[Any, str]:
    """The id of a deployment's run that waits, and what stands above its form."""
    deployment = client.create_deployment(client.create_flow(asks), f"ask {recipe.name}")
    run = client.create_flow_run_from_deployment(deployment)
    start(client, run.id, recipe, version, report)
    waits = client.read_flow_run(run.id)
    assert {"hone", "hone:waiting", "hone:accepted"} <= set(waits.tags)
    assert waits.name == f"{recipe.name}: WAITING"
    state = waits.state
    assert state is not None
    assert state.name == "Suspended"
    keys = state.state_details.run_input_keyset
    assert keys is not None
    return run.id, client.read_flow_run_input(run.id, keys["description"])


def start(client: SyncPrefectClient, run: Any, recipe: Recipe, version: str, report: dict[str, Any]) -> None:
    parameters = {"recipe": recipe, "version": version, "report": report}
    with contextlib.suppress(Pause):  # as Prefect's engine does in a worker's process
        run_flow(asks, flow_run=client.read_flow_run(run), parameters=parameters, return_type="state")


def parameters_of(name: str, report: dict[str, Any]) -> dict[str, Any]:
    return {"recipe": recipe_of(name), "version": "1", "report": report}


def deployed(
    recipe: Recipe, version: str, report: dict[str, Any], answer: dict[str, Any], meanwhile: str = ""
) -> tuple[State, str, set[str]]:
    """The final state of a deployment's run whose form is answered so, what stood above the form, and the tags that
    Hone gave the run; another version may have become the champion meanwhile."""
    with prefect_api(), get_client(sync_client=True) as client, no_heartbeat():
        run, shown = suspended(client, recipe, version, report)
        if meanwhile:
            change.promote(recipe.name, meanwhile, "carol")
        client.resume_flow_run(run, run_input=answer)
        start(client, run, recipe, version, report)
        ended_run = client.read_flow_run(run)
        assert ended_run.state is not None
        return ended_run.state, shown, set(ended_run.tags)


def test_who_approves_makes_it_the_champion_and_stands_in_the_history(model: Model, report: dict[str, Any]) -> None:
    name = model(1)
    state, shown, tags = deployed(
        recipe_of(name), "1", report, {"decision": "approve", "who": "alice", "reason": "it is better"}
    )
    assert tags == {"hone", "hone:accepted", "hone:approved"}
    assert state.is_completed()
    assert champion(name) == "1"
    (entry,) = change.records(name)
    assert (entry.action, entry.who, entry.reason, entry.outcome) == (
        "promote", "alice", "it is better", "took effect",
    )  # fmt: skip
    assert f"May **{name} version 1** be the champion?" in shown
    assert re.search(r"The run waits for a person until \d{4}-\d\d-\d\d \d\d:\d\d UTC; after that nothing", shown)
    assert "## ACCEPTED: quantized" in shown


def test_what_is_refused_changes_nothing_and_stands_in_the_history(model: Model, report: dict[str, Any]) -> None:
    name = model(2)
    change.promote(name, "1", "alice")
    state, _, tags = deployed(recipe_of(name), "2", report, {"decision": "refuse", "who": "bob", "reason": "too slow"})
    assert tags == {"hone", "hone:accepted", "hone:refused"}
    assert state.is_completed()
    assert champion(name) == "1"
    entry = change.records(name)[-1]
    assert (entry.action, entry.from_version, entry.to_version, entry.who, entry.reason, entry.outcome) == (
        "refuse", "1", "2", "bob", "too slow", "refused",
    )  # fmt: skip


def test_who_approves_against_another_champion_than_they_were_shown_changes_nothing(
    model: Model, report: dict[str, Any]
) -> None:
    name = model(2)
    answer = {"decision": "approve", "who": "alice", "reason": "it is better"}
    state, shown, _ = deployed(recipe_of(name), "1", report, answer, meanwhile="2")
    assert "There is none yet." in shown
    assert champion(name) == "2"
    entry = change.records(name)[-1]
    assert (entry.action, entry.who, entry.outcome) == ("refuse", "alice", "refused")
    assert entry.reason == "approved, but held against none, and the champion is version 2 by now"
    assert entry.reason in str(state.message)


def test_where_nobody_answers_nothing_changes_and_the_run_ends(model: Model, report: dict[str, Any]) -> None:
    name = model(1)
    with prefect_api(), get_client(sync_client=True) as client, no_heartbeat():
        run, _ = suspended(client, recipe_of(name), "1", report)
        assert expire(client, run).startswith("nobody decided within 1 hours")
        found = client.read_flow_run(run)
        assert found.state is not None
        assert (found.state.name, found.state.type.value) == ("Completed", "COMPLETED")
        assert "version 1 was not promoted: nobody decided within 1 hours" in str(found.state.message)
        assert {"hone", "hone:accepted", "hone:expired"} <= set(found.tags)
        assert expire(client, run) == "a person decided, or the run has ended"
    assert champion(name) == ""
    (entry,) = change.records(name)
    assert (entry.action, entry.who, entry.outcome) == ("refuse", "nobody", "refused")
    assert entry.reason.startswith("nobody decided within")


def test_an_answer_and_the_deadline_at_once_are_one_decision(model: Model, report: dict[str, Any]) -> None:
    approved = {"decision": "approve", "who": "alice", "reason": ""}
    with prefect_api(), get_client(sync_client=True) as client, no_heartbeat():
        late = model(1)
        run, _ = suspended(client, recipe_of(late), "1", report)
        client.resume_flow_run(run, run_input=approved)
        client.create_flow_run_input(run, DECIDED, NOBODY)  # the deadline came first, and was stopped half way
        start(client, run, recipe_of(late), "1", report)
        assert "version 1 was not promoted" in str(client.read_flow_run(run).state)
        assert champion(late) == ""

        early = model(1)
        run, _ = suspended(client, recipe_of(early), "1", report)
        client.resume_flow_run(run, run_input=approved)
        assert expire(client, run) == "a person decided, or the run has ended"
        start(client, run, recipe_of(early), "1", report)
        client.set_flow_run_state(run, Scheduled(), force=True)  # as where its end was lost on the way
        start(client, run, recipe_of(early), "1", report)
        assert [entry.action for entry in change.records(early)] == ["refuse", "promote"]  # once each


def test_the_end_of_a_run_that_was_deleted_is_no_error(model: Model, report: dict[str, Any]) -> None:
    name = model(1)
    with prefect_api(), get_client(sync_client=True) as client, no_heartbeat():
        run, _ = suspended(client, recipe_of(name), "1", report)
        [question] = client.filter_flow_run_input(run, KEY, limit=1, exclude_keys=set())
        expiry = client.read_flow_run(UUID(ApprovalRequest.model_validate_json(question.value).expiry))
        assert expiry.state is not None
        assert expiry.state.is_scheduled()
        assert {"hone", "hone:expiry"} <= set(expiry.tags)
        client.delete_flow_run(run)
        client.set_flow_run_state(expiry.id, Scheduled(), force=True)  # its time has come
        state = run_flow(asks, flow_run=expiry, parameters=parameters_of(name, report), return_type="state")
        assert state.message == "the run that waited was deleted"
    assert change.records(name) == []


def test_without_a_server_the_run_does_not_wait_and_says_who_may_do_it(model: Model, report: dict[str, Any]) -> None:
    name = model(1)
    registered = RegisteredVersion(record=RECORD, name=name, version="1")
    waiting = Promotion(record=RECORD, waits=True)
    told = request_approval(recipe_of(name), registered, waiting, VERDICT, report)
    assert told == f"; version 1 waits for `hone promote {name} 1`"
    told = request_approval(recipe_of(name), registered, Promotion(record=RECORD), VERDICT, report)
    assert told == "; not promoted: register.promote is approval"
    assert change.records(name) == []


def test_the_form_asks_for_a_name_and_refuses_unless_told_otherwise() -> None:
    with pytest.raises(ValueError, match="who"):
        Approval()
    assert Approval(who="alice").decision == "refuse"
