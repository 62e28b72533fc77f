"""The event of drift: about the model, with what drifted, and once for the same data."""

from typing import Any

import pytest
from prefect import events

from hone.configs.recipe import parse_recipe
from hone.flows.drift_event import tell_of_drift
from hone.tasks.contracts import DriftPart, DriftReport, StageRecord

RECIPE = parse_recipe({"name": "tickets", "data": {"train": "a.csv"}, "model": {"source": "a"}})


def report(status: str, *drifted: str) -> DriftReport:
    record = StageRecord.model_validate({"name": "drift", "status": status, "reason": "", "seconds": 1.0})
    parts = [
        DriftPart(name=name, before="a", now="b", index=0.5, test="chi-squared", p_value=0.001, drifted=name in drifted)
        for name in ("labels", "length")
    ]
    return DriftReport(record=record, name="tickets", version="3", rows={"before": 10, "now": 12}, parts=parts)


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(events, "emit_event", lambda **told: found.append(told))
    return found


def test_what_drifted_is_told_about_the_model(emitted: list[dict[str, Any]]) -> None:
    assert tell_of_drift(RECIPE, report("ran", "length"))
    (event,) = emitted
    assert (event["event"], event["resource"]["prefect.resource.id"]) == ("hone.drift.detected", "hone.model.tickets")
    assert [part["name"] for part in event["payload"]["drifted"]] == ["length"]
    assert (event["payload"]["version"], event["payload"]["rows"]) == ("3", {"before": 10, "now": 12})


@pytest.mark.parametrize("found", [report("ran"), report("cached", "length"), report("skipped")])
def test_nothing_new_is_not_told_so_that_no_event_starts_itself_again(found: DriftReport, emitted: list) -> None:
    assert not tell_of_drift(RECIPE, found)
    assert emitted == []
