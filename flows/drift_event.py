"""Tells Prefect that the data have drifted, so that other deployments may start by it."""

from hone.configs.recipe import Recipe
from hone.flows.triggers import resource
from hone.tasks.contracts import DriftReport

DRIFT = "hone.drift.detected"


def tell_of_drift(recipe: Recipe, drift: DriftReport) -> bool:
    """Emits the event `hone.drift.detected` about the recipe's model, with what drifted as its payload; returns whether
    it did.

    Of the same data against the same champion it is emitted once: a drift report that an earlier run made is found
    again, not made. So a `retrain` that this very event starts cannot go round, even where every run fails.
    """
    from prefect.events import emit_event

    drifted = [part for part in drift.parts if part.drifted]
    if not drifted or drift.record.status != "ran":
        return False
    emit_event(
        event=DRIFT,
        resource={"prefect.resource.id": resource(recipe), "prefect.resource.name": drift.name},
        payload={
            "model": drift.name,
            "version": drift.version,
            "rows": drift.rows,
            "drifted": [part.model_dump(mode="json") for part in drifted],
        },
    )
    return True
