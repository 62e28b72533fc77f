"""Is there something new to learn? Then once more through the chain, held against the champion that is served."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from prefect import flow, task
from prefect.states import Completed, State

from configs.recipe import Recipe
from flows.approval import ask_person, resumed
from flows.optimize import chain
from flows.run import pipeline
from tasks import lineage, storage, tracking
from tasks.data.source import source_digests
from tasks.data.task import prepare_data
from tasks.drift.task import report_drift
from tasks.promote.task import reconcile_champion

UNCHANGED, COOLING_DOWN = "UNCHANGED", "COOLING DOWN"


class Pause(NamedTuple):
    """Why there is nothing to do now."""

    name: str
    message: str


@flow(name="retrain", flow_run_name="{recipe.name}")
def retrain(recipe: Recipe, output: str = "", force: bool = False) -> State[dict[str, Any]]:
    """Record what was done to the champion without Hone, look at the data source, and end at once where it is unchanged
    or the last run too recent. Otherwise prepare the data, report how they drifted from what the champion learned from,
    go through the chain of `optimize`, which holds the new model against the champion on the new test split and on the
    champion's own, and ask a person where the recipe says so; once they have answered, do as they say.

    Args:
        recipe: What to do. Sections in the order of the chain.
        output: Folder of the report and the selected model; empty: a new one, which runs/NAME/latest leads to.
        force: Go through the chain even where the data are unchanged or the last run is recent.
    """
    if said := resumed():
        return said
    tracking.configure(storage.folder_of(recipe.compute.storage))
    reconcile_champion(recipe)
    nothing_to_do = None if force else look(recipe)
    if nothing_to_do:
        return Completed(name=nothing_to_do.name, message=nothing_to_do.message, data={})
    with pipeline(recipe, output, fresh=False) as context:
        data = prepare_data(context)
        drift = report_drift(context, data)
        outcome = chain(context, data, drift)
    decided = ask_person(recipe, outcome.version, outcome.promotion, outcome.verdict, outcome.report)
    return Completed(
        name=outcome.verdict.verdict, message=f"{outcome.verdict.headline()}{decided}", data=outcome.report
    )


@task(name="look", retries=0)
def look(recipe: Recipe) -> Pause | None:
    """Why there is nothing to do; None where there is.

    Raises:
        DataError: when the data source is not there.
    """
    digests = source_digests(recipe.data)
    last = tracking.last_run(recipe.name)
    if last is None:
        return None
    data = lineage.data_of_run(last.run_id)
    before = data.artifact.made_from if data else []
    return pause(sorted(digests.values()), before, last.ended, datetime.now(UTC), recipe.retrain.cooldown_hours)


def pause(found: list[str], before: list[str], ended: datetime, now: datetime, cooldown_hours: float) -> Pause | None:
    """Whether the last run knew these very data, or ended too recently.

    Args:
        found: sorted digests of the parts of the data source.
        before: the same, as the last run found them.
        ended: when the last run ended.
    """
    if found == before:
        return Pause(UNCHANGED, f"the data are those of the last run, which ended {_at(ended)}; force runs anyway")
    again = ended + timedelta(hours=cooldown_hours)
    if now < again:
        return Pause(
            COOLING_DOWN,
            f"the data have changed, but the last run ended {_at(ended)} and retrain.cooldown_hours is "
            f"{cooldown_hours:g}: this trigger is dropped. The first one after {_at(again)} takes the data up, or "
            "force now",
        )
    return None


def _at(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"
