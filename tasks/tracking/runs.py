"""One MLflow run for each pipeline run, and a nested one for each stage."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hone.tasks import version
from hone.tasks.contracts import Contract, PreparedData
from hone.tasks.redact import without_credentials
from hone.tasks.tracking import machine, numbers, server
from hone.tasks.tracking.people import user

FLUSH_SECONDS = 2.0
PARAMS_PER_CALL = 100
METRICS_PER_CALL = 1000
LONGEST_PARAM = 6000
LONGEST_TAG = 5000
LONGEST_DATASET_DIGEST = 36


class StageLog:
    """What a stage writes into its run. Of no run (`run_id` empty), every call does nothing."""

    def __init__(self, run_id: str = "", parent_run_id: str = "") -> None:
        self.run_id = run_id
        self.ends = "FINISHED"
        """MLflow's status of the run once its body is done."""
        self._parent_run_id = parent_run_id
        # Kept here, as metrics of the machine come from a thread that no place was configured for.
        self._records: Any = server.client() if run_id else None
        self._waiting: list[Any] = []
        self._flushed = time.monotonic()
        self._lock = threading.Lock()

    def params(self, values: dict[str, Any]) -> None:
        """Settings by dotted key, or as nested sections. MLflow lets a key be written once."""
        if not self.run_id:
            return
        from mlflow.entities import Param

        params = [Param(key, value) for key, value in as_params(values).items()]
        for start in range(0, len(params), PARAMS_PER_CALL):
            self._records.log_batch(self.run_id, params=params[start : start + PARAMS_PER_CALL])

    def metrics(self, values: dict[str, float], step: int = 0) -> None:
        """Numbers at a step. They are gathered and written every few seconds, as a call takes MLflow as long for one as
        for many; the last are written when the run ends."""
        if not self.run_id:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        with self._lock:
            self._waiting += [Metric(key, float(value), now, step) for key, value in values.items()]
            due = time.monotonic() - self._flushed > FLUSH_SECONDS
        if due:
            self.flush()

    def tags(self, values: dict[str, str]) -> None:
        """Facts by name; the last write of a name holds."""
        if not self.run_id:
            return
        from mlflow.entities import RunTag

        tags = [RunTag(key, without_credentials(value)[:LONGEST_TAG]) for key, value in values.items()]
        for start in range(0, len(tags), PARAMS_PER_CALL):
            self._records.log_batch(self.run_id, tags=tags[start : start + PARAMS_PER_CALL])

    def file(self, path: Path, folder: str = "") -> None:
        """A file or a whole folder, put below `folder` among the run's artifacts."""
        if not self.run_id:
            return
        if path.is_dir():
            self._records.log_artifacts(self.run_id, str(path), folder or None)
        else:
            self._records.log_artifact(self.run_id, str(path), folder or None)

    def text(self, text: str, name: str) -> None:
        """A text as the artifact `name`."""
        if self.run_id:
            self._records.log_text(self.run_id, without_credentials(text), name)

    def cached(self, origin_run_id: str) -> None:
        """Says that nothing was computed, and which run did."""
        self.tags({"hone.status": "cached", "hone.computed_by": origin_run_id})

    def refused(self, reason: str) -> None:
        """Says that what the stage was to do was refused, and why: the run ends FAILED, though it raised nothing."""
        self.tags({"hone.status": "refused", "hone.reason": reason})
        self.ends = "FAILED"

    def result(self, contract: Contract) -> None:
        """What the stage made: numbers as metrics, digests as tags, all of it as `result.json`; data as a dataset."""
        if not self.run_id:
            return
        self.metrics(numbers.metrics_of(contract))
        self.tags({f"hone.{path.replace('/', '.')}": value for path, value in numbers.digests_of(contract).items()})
        self.text(contract.model_dump_json(indent=1), "result.json")
        if isinstance(contract, PreparedData):
            self.dataset(contract)

    def dataset(self, data: PreparedData) -> None:
        """The data as input of this run and of the pipeline's, once for each split.

        MLflow's digests are at most 36 characters, so the whole one stands in the tag `hone.digest`.
        """
        if not self.run_id:
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        connection = self._records
        name = connection.get_run(self._parent_run_id or self.run_id).info.run_name
        digest = data.content_digest.removeprefix("sha256:")[:LONGEST_DATASET_DIGEST]
        inputs = []
        for split, rows in data.rows.items():
            dataset = Dataset(
                name=f"{name}-{split}",
                digest=digest,
                source_type="local",
                source=json.dumps({"uri": f"{data.artifact.uri}/{split}.parquet"}),
                schema=json.dumps({"mlflow_colspec": _columns(data)}),
                profile=json.dumps({"num_rows": rows, "labels": data.labels}),
            )
            context = "training" if split == "train" else split
            tags = [InputTag("mlflow.data.context", context), InputTag("hone.digest", data.content_digest)]
            inputs.append(DatasetInput(dataset, tags))
        for run_id in {self.run_id, self._parent_run_id} - {""}:
            connection.log_inputs(run_id, datasets=inputs)

    def flush(self) -> None:
        """Writes the metrics that wait. Those MLflow did not take stay and are tried again with the next."""
        if not self.run_id:
            return
        with self._lock:
            while self._waiting:
                self._records.log_batch(self.run_id, metrics=self._waiting[:METRICS_PER_CALL])
                del self._waiting[:METRICS_PER_CALL]
            self._flushed = time.monotonic()


@contextmanager
def pipeline_run(name: str, params: dict[str, Any], tags: dict[str, str]) -> Iterator[str]:
    """The run of one pipeline, in the experiment `name`; yields its id. Ends FAILED when the body raises.

    Args:
        params: all settings, by dotted key.
    """
    code = {"hone.code_version": version.code_version()}
    if version.git_commit():
        code["mlflow.source.git.commit"] = version.git_commit()
    with _running(name, "", server.experiment_id(name), tags | code) as log:
        log.params(params)
        yield log.run_id


@contextmanager
def stage_run(parent_run_id: str, stage: str) -> Iterator[StageLog]:
    """A stage's run, nested in the pipeline's. Without a parent nothing is tracked."""
    if not parent_run_id:
        yield StageLog()
        return
    experiment = server.client().get_run(parent_run_id).info.experiment_id
    tags = {"hone.stage": stage, "hone.status": "ran", "mlflow.parentRunId": parent_run_id}
    with _running(stage, parent_run_id, experiment, tags) as log:
        yield log


@contextmanager
def pipeline_log(run_id: str) -> Iterator[StageLog]:
    """Writes into the pipeline's own run, such as the report, and leaves it running."""
    log = StageLog(run_id)
    yield log
    log.flush()


@contextmanager
def _running(name: str, parent_run_id: str, experiment: str, tags: dict[str, str]) -> Iterator[StageLog]:
    connection = server.client()
    who = {"mlflow.user": user(), "mlflow.source.name": "hone", "mlflow.source.type": "LOCAL"}
    run = connection.create_run(experiment, run_name=name, tags=who | tags)
    log = StageLog(run.info.run_id, parent_run_id)
    try:
        with machine.watched(log.run_id, log.metrics):
            yield log
    except BaseException as error:
        log.ends = "FAILED" if isinstance(error, Exception) else "KILLED"
        raise
    finally:
        try:
            log.flush()
        finally:
            connection.set_terminated(log.run_id, status=log.ends)


def as_params(values: dict[str, Any]) -> dict[str, str]:
    """Settings as MLflow keeps them: by dotted key, as text of a bounded length, without credentials."""
    return {key: without_credentials(_plain(value))[:LONGEST_PARAM] for key, value in _flat(values)}


def _flat(values: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    return [
        found
        for key, value in values.items()
        for found in (_flat(value, f"{above}{key}.") if isinstance(value, dict) else [(f"{above}{key}", value)])
    ]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _columns(data: PreparedData) -> list[dict[str, Any]]:
    """The columns of the splits' files as MLflow describes a table's."""
    texts: list[dict[str, Any]] = [
        {"type": "string", "name": name} for name in (["text", "pair"] if data.has_pairs else ["text"])
    ]
    if data.target == "text":  # what is learned is the text itself
        return texts
    integer = {"type": "integer"}
    integers = {"type": "array", "items": integer}
    kinds: dict[str, Any] = {"label": integer, "number": {"type": "double"}}
    parts = {"role": "string", "content": "string", "learned": "boolean"}
    message = {name: {"type": kind, "required": True} for name, kind in parts.items()}
    kinds["messages"] = {"type": "array", "items": {"type": "object", "properties": message}}
    kinds |= dict.fromkeys(("flags", "tags", "starts"), integers)
    return [*texts, {**kinds[data.target], "name": data.target}]
