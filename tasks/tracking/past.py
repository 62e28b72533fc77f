"""What earlier runs left in MLflow."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from tasks.tracking import server


@dataclass(frozen=True)
class PastRun:
    """A pipeline run that came to a verdict."""

    run_id: str
    verdict: str
    ended: datetime
    """UTC."""
    settings: dict[str, str] = field(default_factory=dict)
    """Of its recipe, by dotted key, as `runs.as_params` writes them."""


def last_run(name: str) -> PastRun | None:
    """The newest pipeline run of the recipe `name` that came to a verdict; None where there is none.

    A run that failed or was stopped is none: what it set out to do is still to be done.
    """
    connection = server.client()
    experiment = connection.get_experiment_by_name(name)
    if experiment is None:
        return None
    # Only the pipeline's own run has the tag hone.recipe; it gets its verdict with the report.
    wanted = f"attributes.status = 'FINISHED' and tags.`hone.recipe` = '{name}' and tags.`hone.verdict` != ''"
    found = connection.search_runs([experiment.experiment_id], wanted, order_by=["start_time DESC"], max_results=1)
    if not found:
        return None
    ended = datetime.fromtimestamp(found[0].info.end_time / 1000, UTC)
    return PastRun(found[0].info.run_id, found[0].data.tags["hone.verdict"], ended, dict(found[0].data.params))


def stage_result(run_id: str, stage: str) -> str:
    """What a stage of a pipeline run returned, as the JSON of its contract; empty where MLflow does not have it."""
    from mlflow.artifacts import load_text
    from mlflow.exceptions import MlflowException

    connection = server.client()
    try:
        experiment = connection.get_run(run_id).info.experiment_id
        wanted = f"tags.`mlflow.parentRunId` = '{run_id}' and tags.`hone.stage` = '{stage}'"
        found = connection.search_runs([experiment], wanted, order_by=["start_time DESC"], max_results=1)
        return str(load_text(f"runs:/{found[0].info.run_id}/result.json")) if found else ""
    except (MlflowException, OSError):  # somebody deleted the run or its files
        return ""
