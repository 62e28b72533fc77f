"""The stage of the chain: a version is promoted by a run once, if the recipe says so and the verdict allows it."""

from collections.abc import Callable
from typing import Any

import pytest

from hone.tasks import tracking
from hone.tasks.contracts import Promotion
from hone.tasks.promote import change
from hone.tasks.promote.task import promote_model
from hone.tasks.register.task import register_model
from hone.tasks.tracking import server
from tests.promote.conftest import champion
from tests.register.conftest import Chain

MakeChain = Callable[..., Chain]
AUTO = {"register": {"promote": "auto"}}


def run(chain: Chain, speedup: float = 8.69, verdict: str = "ACCEPTED") -> Promotion:
    """The end of one pipeline run; another speed-up is another version."""
    with tracking.pipeline_run(chain.recipe.name, {}, {}) as run_id:
        context, decided = chain.context(run_id), chain.verdict(verdict)
        registered = register_model.fn(context, chain.data, chain.exported, chain.report(speedup), decided)
        return promote_model.fn(context, registered, decided)


def test_auto_makes_what_was_registered_the_champion_in_a_run_of_its_own(chain: MakeChain) -> None:
    made = chain(**AUTO)
    first, second = run(made), run(made, 9.0)
    name = made.recipe.name
    assert champion(name) == "2"
    assert [first.change, second.change] == change.records(name)
    assert second.headline() == f"{name}: champion 1 -> 2"
    assert second.record.status == "ran"
    stage = server.client().get_run(second.record.mlflow_run_id)
    assert (stage.info.run_name, stage.info.status) == ("promote", "FINISHED")
    assert stage.data.tags.items() >= {"hone.from": "1", "hone.to": "2", "hone.action": "promote"}.items()
    assert second.change is not None
    assert second.change.run_id == stage.data.tags["mlflow.parentRunId"]


@pytest.mark.parametrize(
    ("sections", "verdict", "reason"),
    [
        ({}, "ACCEPTED", "register.promote is never"),
        (AUTO, "REJECTED", "the verdict is REJECTED"),
        (AUTO, "INCONCLUSIVE", "the verdict is INCONCLUSIVE"),
        ({"register": {"promote": "auto", "enabled": False}}, "ACCEPTED", "nothing was registered"),
    ],
)
def test_what_may_not_be_promoted_is_skipped_with_the_reason(
    chain: MakeChain, sections: dict[str, Any], verdict: str, reason: str
) -> None:
    made = chain(**sections)
    skipped = run(made, verdict=verdict)
    assert (skipped.record.status, skipped.record.reason, skipped.change) == ("skipped", reason, None)
    assert skipped.headline() == ""
    assert champion(made.recipe.name) == ""


def test_with_approval_a_run_promotes_nothing_and_says_how_a_person_can(chain: MakeChain) -> None:
    made = chain(register={"promote": "approval"})
    name = made.recipe.name
    waiting = run(made)
    assert (waiting.waits, waiting.change, waiting.record.status) == (True, None, "skipped")
    assert waiting.record.reason == (
        f"register.promote is approval: version 1 waits for a person, who may run `hone promote {name} 1`"
    )
    assert not run(made, verdict="INCONCLUSIVE").waits
    assert champion(name) == ""


def test_what_was_refused_is_not_up_for_it_again(chain: MakeChain) -> None:
    made = chain(register={"promote": "approval"})
    run(made)
    change.refuse(made.recipe.name, "1", "bob", "too slow")
    again = run(made)
    assert not again.waits
    assert again.record.reason == "version 1 was up for it before: entry 1 of the history"
    assert run(chain(**AUTO)).change is None


def test_turning_auto_on_promotes_the_version_that_is_there(chain: MakeChain) -> None:
    run(chain())
    made = chain(**AUTO)
    assert run(made).record.status == "ran"
    assert champion(made.recipe.name) == "1"


def test_a_rollback_is_not_undone_by_repeating_the_run(chain: MakeChain) -> None:
    made = chain(**AUTO)
    run(made)
    run(made, 9.0)
    change.roll_back(made.recipe.name, "alice")
    again = run(made, 9.0)
    assert again.record.reason == "version 2 was up for it before: entry 2 of the history"
    assert champion(made.recipe.name) == "1"


def test_a_champion_that_a_person_set_aside_stays_aside(chain: MakeChain) -> None:
    """Whoever promoted it, and with whatever tool."""
    made = chain(**AUTO)
    run(made)
    run(chain(), 9.0)
    tracking.set_alias(made.recipe.name, "champion", "2")
    assert run(made, 9.0).record.status == "skipped"
    tracking.set_alias(made.recipe.name, "champion", "1")
    assert run(made).record.status == "skipped"
    assert champion(made.recipe.name) == "1"


def test_a_promotion_that_a_kill_interrupted_is_made_by_the_next_run(
    chain: MakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, set_alias = chain(**AUTO), tracking.set_alias

    def killed(name: str, alias: str, version: str) -> None:
        if alias == "champion":
            raise KeyboardInterrupt
        set_alias(name, alias, version)

    monkeypatch.setattr(tracking, "set_alias", killed)
    with pytest.raises(KeyboardInterrupt):
        run(made)
    monkeypatch.setattr(tracking, "set_alias", set_alias)
    monkeypatch.setattr(change, "PATIENCE_SECONDS", 0.1)
    assert run(made).record.status == "ran"
    assert champion(made.recipe.name) == "1"


def test_a_run_that_comes_second_says_so_and_does_not_ask_again(
    chain: MakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = chain(**AUTO)
    run(made)
    run(chain(), 9.0)
    validate, name = change._validate, made.recipe.name

    def outrun(wanted: tracking.Version) -> None:
        monkeypatch.setattr(change, "_validate", validate)
        change.promote(name, "2", "alice")

    monkeypatch.setattr(change, "_validate", outrun)
    second = run(made, 10.0)
    assert second.change is None
    meanwhile = "version 2 became the champion meanwhile (entry 2, by alice)"
    assert meanwhile in second.record.reason
    experiment = server.client().get_experiment_by_name(name).experiment_id
    [refused] = server.client().search_runs([experiment], "tags.`hone.status` = 'refused'")
    assert (refused.info.run_name, refused.info.status) == ("promote", "FAILED")  # not as if it had been done
    assert meanwhile in refused.data.tags["hone.reason"]
    assert run(made, 10.0).record.reason == "version 3 was up for it before: entry 3 of the history"
    assert champion(name) == "2"
