"""What surrounds the stages of one run: its folders, its MLflow run, its Ray, and who hears of its progress."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.settings import Settings

from hone.configs.recipe import Recipe
from hone.flows.database import server_address
from hone.flows.outcome import served
from hone.flows.preflight import preflight
from hone.tasks import cache_room, cluster, code, progress, storage, tracking, version
from hone.tasks import output as outputs
from hone.tasks.contracts import StageRecord
from hone.tasks.redact import mask_logs, plain_uri
from hone.tasks.stage import RunContext

LOG_SECONDS = 30.0
"""A stage that takes long writes a line into the run's log so often."""


def checked(recipe: Recipe, output: str) -> None:
    """Looks at what the recipe names before anything starts, where a deployment runs it: a command has done so.

    Raises:
        HoneError: of the first that does not hold.
    """
    if served():
        preflight(recipe, output)


@contextmanager
def pipeline(recipe: Recipe, output: str, fresh: bool) -> Iterator[RunContext]:
    """Opens the run's MLflow run and yields what its stages need to know; its workers, if a stage started them, stop
    with it. Nothing here is the process's: another run beside this one has records, workers and listeners of its own.

    Raises:
        OutputError: before anything else, when the report and the model could not be written.
    """
    mask_logs()
    place = storage.folder_of(recipe.compute.storage)
    outputs.check(recipe.name, output)
    code.read_stages(place / "checks")
    folder = outputs.folder_of(recipe.name, output).resolve()
    latest = "" if output else str(folder / outputs.LATEST)
    tracking.configure(place)
    flow_run = FlowRunContext.get()
    tags = {"hone.recipe": recipe.name, "hone.code_version": version.code_version()}
    page = ""
    if flow_run is not None and flow_run.flow_run is not None:
        tags["prefect.flow_run_id"] = str(flow_run.flow_run.id)
        page = flow_run_page(flow_run.flow_run.id)
    if page:
        tags["hone.prefect_run"] = page
    cache_room.prune(place, None)
    with (
        cluster.session(),
        cache_room.using(place),
        tracking.pipeline_run(recipe.name, recipe.model_dump(mode="json"), tags) as run_id,
        progress.listening(ProgressArtifacts()),
        progress.listening(RunLog()),
    ):
        if latest:  # the runs of a recipe in the order of time, and each findable in MLflow
            folder /= f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{run_id[:8]}"
        yield RunContext(
            recipe=recipe,
            output=str(folder),
            latest=latest,
            storage=str(place),
            fresh=fresh,
            mlflow_run_id=run_id,
            prefect_page=page,
        )


def flow_run_page(flow_run_id: UUID) -> str:
    """Where Prefect's server shows a flow run, without a user and a password; empty where no server is named, as one
    that Prefect starts for a single run ends with it."""
    base = str(Settings().ui_url or "") if server_address() else ""  # Prefect infers it from the API's address
    return f"{plain_uri(base).rstrip('/')}/runs/flow-run/{flow_run_id}" if base else ""


class RunLog:
    """Tells the log of the Prefect flow run what the terminal shows: each stage, how far it is, what came of it and why
    it ran. Progress may come from any thread, so the logger is the run's own."""

    def __init__(self) -> None:
        self._log = get_run_logger()
        self._told = 0.0

    def started(self, stage: str) -> None:
        self._told = time.monotonic()
        self._log.info("%s: begins", stage)

    def advanced(self, stage: str, done: float, total: float, note: str) -> None:
        if done >= total or time.monotonic() - self._told > LOG_SECONDS:
            self._told = time.monotonic()
            self._log.info("%s: %.0f%%%s", stage, 100 * done / max(total, 1), f", {note}" if note else "")

    def finished(self, record: StageRecord, headline: str) -> None:
        seconds = "" if record.status == "skipped" else f" in {record.seconds:.1f} s"
        about = f": {headline}" if headline else ""
        self._log.info("%s: %s%s%s (%s)", record.name, record.status, seconds, about, record.reason)


class ProgressArtifacts:
    """Shows each stage that takes a while as a progress artifact of the Prefect flow run."""

    def __init__(self) -> None:
        self._artifacts: dict[str, Any] = {}  # UUIDs; Prefect types them as coroutines too
        self._shown: dict[str, int] = {}

    def started(self, stage: str) -> None:
        """Nothing to show before there is progress."""

    def advanced(self, stage: str, done: float, total: float, note: str) -> None:
        percent = int(100 * done / max(total, 1))
        if stage not in self._artifacts:
            self._artifacts[stage] = create_progress_artifact(percent, key=f"{stage}-progress", description=stage)
        elif percent >= self._shown[stage] + 5 or percent == 100 > self._shown[stage]:
            update_progress_artifact(self._artifacts[stage], progress=percent, description=f"{stage}: {note}")
        else:
            return
        self._shown[stage] = percent

    def finished(self, record: StageRecord, headline: str) -> None:
        if record.name in self._artifacts and self._shown[record.name] < 100:
            update_progress_artifact(self._artifacts[record.name], progress=100, description=headline)
