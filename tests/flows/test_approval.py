"""A person's word: the run pauses with the evidence, and what they say, or do not say, stands in the history."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.flow_engine import run_flow
from prefect.states import State

from configs.recipe import Recipe, parse_recipe
from flows import approval
from flows.approval import Approval, ask_person
from flows.environment import prepare_prefect_database
from flows.shell import no_heartbeat
from tasks.contracts import Promotion, RegisteredVersion, StageRecord
from tasks.promote import change
from tests.promote.conftest import champion, model, shared
from tests.register.conftest import storage
from tests.report.conftest import recipe, report, results

__all__ = ["model", "recipe", "report", "results", "shared", "storage"]

pytestmark = pytest.mark.xdist_group("mlflow")

Model = Callable[..., str]
RECORD = StageRecord(name="promote", status="skipped", reason="register.promote is approval", seconds=0.0)


def recipe_of(name: str, hours: float = 1.0) -> Recipe:
    register = {"promote": "approval", "approval_hours": hours}
    return parse_recipe({"name": name, "data": {"train": "a.csv"}, "model": {"source": "a"}, "register": register})


@flow(name="asks")
def asks(recipe: Recipe, version: str, report: dict[str, Any]) -> str:
    """The end of a run."""
    registered = RegisteredVersion(record=RECORD, name=recipe.name, version=version)
    return ask_person(recipe, registered, Promotion(record=RECORD, waits=True), report)


def deployed(recipe: Recipe, version: str, report: dict[str, Any], answer: dict[str, Any] | None) -> tuple[State, str]:
    """The final state of a deployment's run whose form is answered so, and what stood above the form."""
    prepare_prefect_database()
    shown: list[str] = []
    with get_client(sync_client=True) as client, no_heartbeat():
        deployment = client.create_deployment(client.create_flow(asks), f"ask {recipe.name}")
        parameters = {"recipe": recipe, "version": version, "report": report}
        run = client.create_flow_run_from_deployment(deployment)
        if answer is not None:
            person = threading.Thread(target=_answer, args=(client, run.id, answer, shown))
            person.start()
        state = run_flow(asks, flow_run=run, parameters=parameters, return_type="state")
        if answer is not None:
            person.join()
        return client.read_flow_run(run.id).state, "".join(shown) or str(state.data)


def _answer(client: SyncPrefectClient, run_id: Any, answer: dict[str, Any], shown: list[str]) -> None:
    while not (state := client.read_flow_run(run_id).state) or not state.is_paused():
        time.sleep(0.1)
    key = state.state_details.run_input_keyset["description"]
    while key not in {found.key for found in client.filter_flow_run_input(run_id, key, limit=1, exclude_keys=set())}:
        time.sleep(0.1)
    shown.append(client.read_flow_run_input(run_id, key))
    client.resume_flow_run(run_id, run_input=answer)


def test_who_approves_makes_it_the_champion_and_stands_in_the_history(
    model: Model, report: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval, "POLL_SECONDS", 1)
    name = model(1)
    state, shown = deployed(
        recipe_of(name), "1", report, {"decision": "approve", "who": "alice", "reason": "it is better"}
    )
    assert state.is_completed()
    assert champion(name) == "1"
    (entry,) = change.records(name)
    assert (entry.action, entry.who, entry.reason, entry.outcome) == (
        "promote", "alice", "it is better", "took effect",
    )  # fmt: skip
    assert f"May **{name} version 1** be the champion?" in shown
    assert "## ACCEPTED: quantized" in shown


def test_what_is_refused_changes_nothing_and_stands_in_the_history(
    model: Model, report: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval, "POLL_SECONDS", 1)
    name = model(2)
    change.promote(name, "1", "alice")
    state, _ = deployed(recipe_of(name), "2", report, {"decision": "refuse", "who": "bob", "reason": "too slow"})
    assert state.is_completed()
    assert champion(name) == "1"
    entry = change.records(name)[-1]
    assert (entry.action, entry.from_version, entry.to_version, entry.who, entry.reason, entry.outcome) == (
        "refuse", "1", "2", "bob", "too slow", "refused",
    )  # fmt: skip


def test_where_nobody_answers_nothing_changes_and_the_run_ends(model: Model, report: dict[str, Any]) -> None:
    name = model(1)
    state, _ = deployed(recipe_of(name, 2 / 3600), "1", report, None)
    assert state.is_completed()
    assert champion(name) == ""
    (entry,) = change.records(name)
    assert (entry.action, entry.who, entry.outcome) == ("refuse", "nobody", "refused")
    assert entry.reason.startswith("nobody decided within")


def test_without_a_server_the_run_does_not_wait_and_says_who_may_do_it(model: Model, report: dict[str, Any]) -> None:
    name = model(1)
    registered = RegisteredVersion(record=RECORD, name=name, version="1")
    waiting = Promotion(record=RECORD, waits=True)
    assert ask_person(recipe_of(name), registered, waiting, report) == f"; version 1 waits for `hone promote {name} 1`"
    assert ask_person(recipe_of(name), registered, Promotion(record=RECORD), report) == ""
    assert change.records(name) == []


def test_the_form_asks_for_a_name_and_refuses_unless_told_otherwise() -> None:
    with pytest.raises(ValueError, match="who"):
        Approval()
    assert Approval(who="alice").decision == "refuse"
