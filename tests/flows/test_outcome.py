"""Each end of a run has its tag, its place in the run's name and its state, by which other people's filters find it."""

import contextlib
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.logging.loggers import disable_run_logger

from hone.configs.recipe import Recipe, parse_recipe
from hone.flows import outcome, retrain
from hone.flows.outcome import GOOD, ended, mark, tag_of

RECIPE = parse_recipe({"name": "tickets", "data": {"train": "a.csv"}, "model": {"source": "a"}})


class Server:
    """Prefect's, as far as the end of one run asks it: it keeps what it is told of that run."""

    def __init__(self, run: FlowRun) -> None:
        self.run = run

    def update_flow_run(self, run: UUID, *, tags: list[str], name: str) -> None:
        assert run == self.run.id
        self.run.tags, self.run.name = tags, name


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[FlowRun]:
    """The run that this code is part of, which Prefect gave a name and its owner a tag."""
    found = FlowRun(flow_id=uuid4(), name="tickets", tags=["team-a", "hone", "hone:waiting"])
    monkeypatch.setattr(outcome, "this_run", lambda: found)
    monkeypatch.setattr(outcome, "_base", {found.id: "tickets"})
    monkeypatch.setattr(outcome, "get_client", lambda **_: contextlib.nullcontext(Server(found)))
    with disable_run_logger():
        yield found


@pytest.mark.parametrize(
    ("outcomes", "tags", "state"),
    [
        (["ACCEPTED"], {"hone:accepted"}, "Completed"),
        (["REJECTED"], {"hone:rejected"}, "Failed"),
        (["INCONCLUSIVE"], {"hone:inconclusive"}, "Failed"),
        (["UNCHANGED"], {"hone:unchanged"}, "Completed"),
        (["COOLING DOWN"], {"hone:cooling-down"}, "Completed"),
        (["ACCEPTED", "REFUSED"], {"hone:accepted", "hone:refused"}, "Completed"),
        (["INCONCLUSIVE", "EXPIRED"], {"hone:inconclusive", "hone:expired"}, "Failed"),
    ],
)
def test_each_end_has_its_tags_in_place_of_earlier_ones_its_name_and_a_state_of_prefect(
    run: FlowRun, outcomes: list[str], tags: set[str], state: str
) -> None:
    end: Any = ended(outcomes[0], "why", {}, *outcomes[1:])
    assert (end.name, end.message) == (state, "why")
    assert set(run.tags) == {"team-a", "hone", *tags}
    assert run.name == f"tickets: {outcomes[0]}"
    assert (outcomes[0] in GOOD) == (state == "Completed")


def test_a_run_that_waits_is_tagged_so_beside_its_verdict_and_keeps_a_persons_name(run: FlowRun) -> None:
    run.name, run.tags = "before the holidays", ["team-a", "hone", "hone:error"]
    client: Any = Server(run)
    mark(client, run, "WAITING", "ACCEPTED")
    assert set(run.tags) == {"team-a", "hone", "hone:waiting", "hone:accepted"}
    assert run.name == "before the holidays"


def test_the_tag_of_a_run_that_is_to_end_another_outlives_its_own_end(run: FlowRun) -> None:
    run.tags = ["hone", tag_of("EXPIRY")]
    ended("ACCEPTED", "", {})
    assert set(run.tags) == {"hone", "hone:expiry", "hone:accepted"}


@pytest.mark.parametrize(("found", "tag"), [("COOLING DOWN", "hone:cooling-down"), ("UNCHANGED", "hone:unchanged")])
def test_a_retraining_with_nothing_to_do_now_is_completed_and_tagged_so(
    run: FlowRun, monkeypatch: pytest.MonkeyPatch, found: str, tag: str
) -> None:
    def nothing(*_: object) -> None:
        return None

    def look(_recipe: Recipe) -> retrain.Look:
        return retrain.Look(found, "the last run ended just now")

    for name in ("handle_answer", "checked", "reconcile_champion"):
        monkeypatch.setattr(retrain, name, nothing)
    monkeypatch.setattr(retrain.tracking, "configure", nothing)
    monkeypatch.setattr(retrain, "look", look)
    monkeypatch.setattr(outcome, "_begin", nothing)
    end = retrain.retrain.fn(RECIPE)
    assert (end.name, end.message) == ("Completed", f"{found}: the last run ended just now")
    assert tag in run.tags
    assert run.name == f"tickets: {found}"
