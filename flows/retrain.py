"""Is there something new to learn? Then once more through the chain, held against the champion that is served."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from prefect import flow, task
from prefect.logging import get_run_logger
from prefect.states import State

from hone.configs.recipe import Recipe
from hone.flows.approval import handle_answer, request_approval
from hone.flows.drift_event import tell_of_drift
from hone.flows.optimize import chain
from hone.flows.outcome import ended, recipe_name, told
from hone.flows.run import checked, pipeline
from hone.tasks import lineage, storage, tracking
from hone.tasks.data.source import source_digests
from hone.tasks.data.task import prepare_data
from hone.tasks.drift.task import report_drift
from hone.tasks.model.checkpoints.source import content_digest, resolve_source
from hone.tasks.promote.task import reconcile_champion

UNCHANGED, COOLING_DOWN = "UNCHANGED", "COOLING DOWN"
DECIDING = (
    "seed",
    "data",
    "model",
    "train",
    "distill",
    "prune",
    "quantize",
    "export",
    "evaluate",
    "gate",
)
"""Parts of a recipe that decide which model comes out and what is said of it; the others say where and when."""
SHOWN_CHANGES = 5


class Look(NamedTuple):
    """What there is to do now."""

    outcome: str
    """Empty: the chain is run; else why it is not."""
    message: str
    """Why, in either case."""


@flow(name="retrain", validate_parameters=False)
@told(recipe_name)
def retrain(recipe: Recipe, output: str = "", force: bool = False) -> State[dict[str, Any]]:
    """Record what was done to the champion without Hone, look at the data source and the recipe, and end at once where
    neither has changed since the last run, or that was too recent, and there is a champion. Otherwise prepare the data,
    report how they drifted from what the champion learned from, and emit `hone.drift.detected` where they did. Then go
    through the chain of `optimize`, which holds the new model against the champion on the new test split and on the
    champion's own, and ask a person where the recipe says so; once they have answered, do as they say.

    Args:
        recipe: What to do. Sections in the order of the chain.
        output: Folder of the report and the selected model; empty: a new one, which runs/NAME/latest leads to.
        force: Go through the chain even where nothing has changed or the last run is recent.
    """
    if said := handle_answer():
        return said
    checked(recipe, output)
    tracking.configure(storage.folder_of(recipe.compute.storage))
    reconcile_champion(recipe)
    found = Look("", "it was told to") if force else look(recipe)
    get_run_logger().info("%s: %s", found.outcome or "retraining", found.message)
    if found.outcome:
        return ended(found.outcome, f"{found.outcome}: {found.message}", {})
    with pipeline(recipe, output, fresh=False) as context:
        data = prepare_data(context)
        drift = report_drift(context, data)
        tell_of_drift(recipe, drift)
        outcome = chain(context, data, drift)
    decided = request_approval(recipe, outcome.version, outcome.promotion, outcome.verdict, outcome.report)
    return ended(outcome.verdict.verdict, f"{outcome.verdict.headline()}{decided}", outcome.report)


@task(name="look", retries=0)
def look(recipe: Recipe) -> Look:
    """Whether there is something to do, and why.

    Raises:
        DataError: when the data source is not there.
        ModelError: when the encoder is not there.
    """
    digests = source_digests(recipe.data)
    last = tracking.last_run(recipe.name)
    if last is None:
        return Look("", "no earlier run of this recipe came to a verdict")
    serving = tracking.version_at(recipe.register_.model_name or recipe.name, tracking.CHAMPION)
    data = lineage.data_of_run(last.run_id)
    return decide(
        sorted(digests.values()),
        data.artifact.made_from if data else [],
        [*recipe_changes(last.settings, recipe), *encoder_changes(last.run_id, recipe)],
        serving is not None,
        last.ended,
        datetime.now(UTC),
        recipe.retrain.cooldown_hours,
    )


def recipe_changes(before: dict[str, str], recipe: Recipe) -> list[str]:
    """What has changed of the settings that decide the model, as `train.epochs 3 -> 2`. A setting that the last run did
    not know yet, or that is not there any more, is no change: the person changed nothing.

    Args:
        before: every setting of the last run by dotted key, as MLflow keeps it.
    """
    tree = recipe.model_dump(mode="json")
    now = tracking.as_params({part: tree[part] for part in DECIDING})
    changed = [key for key in sorted(now.keys() & before.keys()) if now[key] != before[key]]
    return [f"{key} {before[key]} -> {now[key]}" for key in changed]


def encoder_changes(run_id: str, recipe: Recipe) -> list[str]:
    """Whether the recipe's encoder, under the same name, is another one than a run began with."""
    encoder = content_digest(resolve_source(recipe.model.source, recipe.model.revision))
    before = lineage.sources_of_teacher(run_id)
    return ["the files of model.source"] if before and encoder not in before else []


def decide(
    found: list[str],
    before: list[str],
    changes: list[str],
    champion: bool,
    ended_at: datetime,
    now: datetime,
    cooldown_hours: float,
) -> Look:
    """Whether the last run knew these very data and this recipe and there is a champion, or it ended too recently.

    Args:
        found: sorted digests of the parts of the data source.
        before: the same, as the last run found them.
        changes: of the recipe since then.
        champion: whether there is one.
        ended_at: when the last run ended.
    """
    if found == before and not changes and champion:
        told = f"data and recipe are those of the last run, which ended {_at(ended_at)}; force runs anyway"
        return Look(UNCHANGED, told)
    more = f" and {len(changes) - SHOWN_CHANGES} more" if len(changes) > SHOWN_CHANGES else ""
    recipe = f"the recipe has changed ({', '.join(changes[:SHOWN_CHANGES])}{more})" if changes else ""
    reasons = ["the data have changed" if found != before else "", recipe, "" if champion else "there is no champion"]
    why = " and ".join(reason for reason in reasons if reason)
    again = ended_at + timedelta(hours=cooldown_hours)
    if now < again:
        return Look(
            COOLING_DOWN,
            f"{why}, but the last run ended {_at(ended_at)} and retrain.cooldown_hours is "
            f"{cooldown_hours:g}: this trigger is dropped. The first one after {_at(again)} takes it up, or "
            "force now",
        )
    return Look("", why)


def _at(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"
