"""The shell every stage runs in: reuse or make, track, tell, and return the contract."""

import hashlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from hone.configs.plan import Plan
from hone.configs.recipe import Recipe
from hone.tasks import cache, disk, progress, storage, store, tracking
from hone.tasks.contracts import Artifact, Contract, StageRecord, StageResult
from hone.tasks.errors import DamagedArtifactError
from hone.tasks.redact import without_credentials

if TYPE_CHECKING:  # it needs torch, and most stages do not
    from hone.tasks.model.training.trainable import TrainingEvent

Result = TypeVar("Result", bound=StageResult)


class RunContext(Contract):
    """What every stage of one run knows."""

    recipe: Recipe
    output: str
    """Absolute folder of the report and the selected model."""
    latest: str = ""
    """What is to lead to `output` once the report is there; empty where a person named the folder."""
    storage: str
    """Absolute folder of finished stages; the mirror of a bucket, where compute.storage is one (see `storage`)."""
    fresh: bool = False
    """Ignore finished stages."""
    mlflow_run_id: str = ""
    """The pipeline run's own MLflow run; stages are nested in it."""
    prefect_page: str = ""
    """Where Prefect's server shows this run; empty where there is none."""

    def following(self, plan: Plan) -> "RunContext":
        """The same run under another plan of its recipe, in the same storage and MLflow run."""
        return self.model_copy(update={"recipe": plan.applied_to(self.recipe)})


@dataclass
class StageWorkspace:
    """What a stage's body works with."""

    folder: Path
    """Write results below here; it is renamed to where the finished result lies, and its artifacts with it."""
    scratch: Path
    """Kept after a kill, gone after success: checkpoints to resume from."""
    log: tracking.StageLog
    stage: str
    seed: int
    previous: Callable[[], StageResult | None]
    """The recipe's result before this one, where it was made of other inputs in the same way: what came of an input
    that is in both need not be made again. None where there is none, or it is damaged."""
    listeners: tuple[progress.Listener, ...] = field(default_factory=progress.listeners)
    """Who hears this run: kept here, so that a body may tell of its progress from any thread."""

    def artifact(self, name: str, made_from: list[str]) -> Artifact:
        """Describes the finished sub-folder `name`."""
        return store.describe(self.folder / name, made_from)

    def advanced(self, done: float, total: float, note: str = "") -> None:
        """Tells whoever hears this run how far the stage is."""
        for listener in self.listeners:
            listener.advanced(self.stage, done, total, note)

    def on_event(self, event: "TrainingEvent") -> None:
        """Passes on what a training run tells: progress to whoever listens, metrics to the tracked run."""
        self.advanced(event.step, event.total_steps, event.note)
        self.log.metrics(event.values, event.step)


def failed_stage(name: str, error: Exception) -> StageRecord:
    """The record of a stage that raised, for a report that is written all the same."""
    reason = without_credentials(str(error)).strip() or type(error).__name__
    record = StageRecord(name=name, status="failed", reason=reason, seconds=0.0)
    progress.finished(record, "")
    return record


def run_stage(
    context: RunContext,
    name: str,
    result_type: type[Result],
    body: Callable[[StageWorkspace], dict[str, Any]],
    *,
    settings: dict[str, Any],
    inputs: dict[str, str],
    libraries: tuple[str, ...] = (),
    unusable: Callable[[Result], str] = lambda _result: "",
    draws: bool = True,
) -> Result:
    """Reuses the stage's result, or makes it.

    Args:
        body: makes the result in `StageWorkspace.folder` and returns the fields of `result_type` other than `record`. A
            field `artifact`, or the artifact of a field `checkpoint`, names what the stage made. The module it stands
            in and all that this imports is the code that counts.
        settings: all settings that the body reads, by dotted key; sections are flattened.
        inputs: digests of all that the body reads, by name.
        libraries: the distributions whose version shapes it.
        unusable: says of a finished result why it is not to be reused; empty where it may be.
        draws: whether the body draws anything, so that the recipe's seed shapes the result.
    """
    started = time.monotonic()
    seed = {"seed": context.recipe.seed} if draws else {}
    ingredients = cache.gather(seed | flatten(settings), inputs, body.__module__, libraries)
    key = cache.key_of(ingredients)
    stage_cache = cache.StageCache(Path(context.storage), name, context.recipe.name)
    progress.started(name)
    with stage_cache.lock(key):
        reason, result = _reuse(context, stage_cache, key, ingredients, result_type, unusable)
        if result is not None:
            with tracking.stage_run(context.mlflow_run_id, name) as log:
                log.cached(result.record.mlflow_run_id)
                log.result(result)
                record = StageRecord(
                    name=name,
                    status="cached",
                    reason=reason,
                    seconds=round(time.monotonic() - started, 3),
                    mlflow_run_id=log.run_id,
                    digest=_digest(dict(result)),
                )
        else:
            with tracking.stage_run(context.mlflow_run_id, name) as log:
                log.params(flatten(settings))
                workspace = _open_workspace(context, stage_cache, key, name, log)
                workspace.previous = lambda: _previous(context, stage_cache, ingredients, result_type)
                made = body(workspace)
                place = stage_cache.settle(key, workspace.folder)
                fields = {name: _moved(value, workspace.folder, place) for name, value in made.items()}
                record = StageRecord(
                    name=name,
                    status="ran",
                    reason=reason,
                    seconds=round(time.monotonic() - started, 3),
                    mlflow_run_id=log.run_id,
                    digest=_digest(fields),
                )
                result = result_type(record=record, **fields)
                log.result(result)
            stage_cache.file(key, place, result.model_dump(mode="json"))
            storage.remove(stage_cache.workspace(key))
        stage_cache.record(ingredients)
    progress.finished(record, result.headline())
    return result.model_copy(update={"record": record})


def skip_stage(name: str, reason: str, digest: str) -> StageRecord:
    """The record of a stage that the recipe switches off; its type is still returned, with what came in."""
    record = StageRecord(name=name, status="skipped", reason=reason, seconds=0.0, digest=digest)
    progress.finished(record)
    return record


def flatten(settings: dict[str, Any]) -> dict[str, Any]:
    """Sections to dotted keys and plain values."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        plain = value.model_dump(mode="json") if hasattr(value, "model_dump") else value
        if isinstance(plain, dict):
            flat |= {f"{key}.{inner}": item for inner, item in flatten(plain).items()}
        else:
            flat[key] = plain
    return flat


def _reuse(
    context: RunContext,
    stage_cache: cache.StageCache,
    key: str,
    ingredients: cache.Ingredients,
    result_type: type[Result],
    unusable: Callable[[Result], str],
) -> tuple[str, Result | None]:
    if context.fresh:
        return "--fresh", None
    found, unreadable = stage_cache.find(key)
    if found is None:
        return unreadable or stage_cache.why(ingredients), None
    try:
        result = result_type.model_validate(found)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in wrong["loc"])
        return f"unreadable: {stage_cache.place(key)}: {place}: {wrong['msg']}; made again", None
    if reason := unusable(result):
        return reason, None
    try:
        for artifact in _artifacts(result):
            store.open_artifact(artifact)
    except DamagedArtifactError as damage:
        return f"damaged: {damage}", None
    return "nothing it depends on has changed", result


def _previous(
    context: RunContext, stage_cache: cache.StageCache, ingredients: cache.Ingredients, result_type: type[Result]
) -> Result | None:
    before = None if context.fresh else stage_cache.previous()
    if before is None or _without_inputs(before) != _without_inputs(ingredients):
        return None
    return _reuse(context, stage_cache, cache.key_of(before), before, result_type, lambda _result: "")[1]


def _without_inputs(ingredients: cache.Ingredients) -> cache.Ingredients:
    return {name: value for name, value in ingredients.items() if not name.startswith("input ")}


def _open_workspace(
    context: RunContext, stage_cache: cache.StageCache, key: str, name: str, log: tracking.StageLog
) -> StageWorkspace:
    room = stage_cache.workspace(key)
    if context.fresh:
        storage.remove(room)
    for left in room.glob("result*"):  # of a run that died, or whose lease another took over
        disk.discard(left)
    folder, scratch = room / f"result-{uuid.uuid4().hex}", room / "scratch"
    folder.mkdir(parents=True)
    scratch.mkdir(exist_ok=True)
    return StageWorkspace(folder, scratch, log, name, context.recipe.seed, previous=lambda: None)


def _moved(value: Any, old: Path, new: Path) -> Any:
    """What a body returned, with the artifacts below the folder `old` where they lie now, below `new`."""
    if isinstance(value, Artifact):
        before, after = (f"{storage.uri_of(folder)}/" for folder in (old, new))
        at = value.uri
        return value.model_copy(update={"uri": after + at.removeprefix(before)}) if at.startswith(before) else value
    if isinstance(value, Contract):
        return value.model_copy(update={name: _moved(field, old, new) for name, field in value})
    if isinstance(value, list):
        return [_moved(item, old, new) for item in value]
    return value


def _artifacts(value: Any) -> list[Artifact]:
    """Every artifact a contract holds, at any depth."""
    if isinstance(value, Artifact):
        return [value]
    if isinstance(value, Contract):
        return [found for _name, field in value for found in _artifacts(field)]
    if isinstance(value, list):
        return [found for item in value for found in _artifacts(item)]
    return []


def _digest(fields: dict[str, Any]) -> str:
    """Digest of what a stage made: of its artifacts, wherever they lie, or else of the numbers it measured."""
    made = {key: value for key, value in fields.items() if key != "record"}
    digests = [artifact.digest for artifact in _artifacts(list(made.values()))]
    if len(digests) == 1:
        return digests[0]
    plain = json.dumps(digests or made, default=lambda contract: contract.model_dump(mode="json"), sort_keys=True)
    return f"sha256:{hashlib.sha256(plain.encode()).hexdigest()}"
