"""What earlier runs left in MLflow."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from hone.tasks.errors import PreflightError
from hone.tasks.tracking import server


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
    condition = f"attributes.status = 'FINISHED' and tags.`hone.recipe` = '{name}' and tags.`hone.verdict` != ''"
    found = connection.search_runs([experiment.experiment_id], condition, order_by=["start_time DESC"], max_results=1)
    if not found:
        return None
    ended = datetime.fromtimestamp(found[0].info.end_time / 1000, UTC)
    return PastRun(found[0].info.run_id, found[0].data.tags["hone.verdict"], ended, dict(found[0].data.params))


@dataclass(frozen=True)
class PastLook:
    """A verdict on a test split."""

    number: int
    candidate: str
    """Digest of the model that was judged."""


LOOK, LOOK_MODEL, LOOK_ROWS, LOOK_CANDIDATE, LOOK_LEVEL = (
    "hone.look",
    "hone.look_model",
    "hone.look_rows",
    "hone.look_candidate",
    "hone.look_level",
)
"""Tags of a pipeline's run: which look at the test rows its verdict was, and at what."""


def looks(model: str, rows: str) -> list[PastLook]:
    """Every verdict on the same test rows for the same registered model, whichever recipe it was, and though its run
    failed afterwards or was deleted.

    Args:
        model: name in the registry.
        rows: digest of the test rows.

    Raises:
        RegistryError: when MLflow does not answer.
    """
    from mlflow.entities import ViewType

    connection = server.client()
    result: list[PastLook] = []
    with server.answering():
        experiments = [one.experiment_id for one in connection.search_experiments(view_type=ViewType.ALL)]
        condition, token = f"tags.`{LOOK_ROWS}` = '{rows}'", None
        while True:
            page = connection.search_runs(experiments, condition, ViewType.ALL, max_results=1000, page_token=token)
            tags = [run.data.tags for run in page if run.data.tags.get(LOOK_MODEL) == model]
            result += [PastLook(int(one[LOOK]), one[LOOK_CANDIDATE]) for one in tags if one.get(LOOK, "").isdigit()]
            token = page.token
            if not token:
                return result


def stage_result(run_id: str, stage: str) -> str:
    """What a stage of a pipeline run returned, as the JSON of its contract; empty where MLflow does not have it."""
    from mlflow.exceptions import MlflowException

    connection = server.client()
    try:
        experiment = connection.get_run(run_id).info.experiment_id
        condition = f"tags.`mlflow.parentRunId` = '{run_id}' and tags.`hone.stage` = '{stage}'"
        found = connection.search_runs([experiment], condition, order_by=["start_time DESC"], max_results=1)
        return server.text_of(found[0].info.run_id, "result.json") if found else ""
    except (MlflowException, OSError):  # somebody deleted the run or its files
        return ""


def report(run_id: str) -> str:
    """The `report.json` of a pipeline run, as text.

    Raises:
        PreflightError: when there is no such run, or it is none that came to a verdict.
        RegistryError: when MLflow does not answer.
    """
    from mlflow.exceptions import MlflowException

    connection = server.client()
    with server.answering(run_id):
        try:
            tags = connection.get_run(run_id).data.tags
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise PreflightError(
                f"{run_id}: {server.tracking_uri()} has no such run: name the storage of the run by --storage, or set "
                "MLFLOW_TRACKING_URI"
            ) from None
        if "mlflow.parentRunId" in tags:
            stage, parent = tags.get("hone.stage", "another run"), tags["mlflow.parentRunId"]
            raise PreflightError(f"{run_id}: the run of the stage {stage}: give the one it belongs to, {parent}")
        if "hone.verdict" not in tags:
            whose = "a run of Hone that came to no verdict" if "hone.recipe" in tags else "no run that Hone made"
            raise PreflightError(f"{run_id}: {whose}, so it has no report.json: give one that did")
        return server.text_of(run_id, "report.json")
