"""Two runs in one process, at the same time and one after the other, do not know of each other."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from hone.configs.delivery import ComputeSettings
from hone.configs.recipe import Recipe, parse_recipe
from hone.tasks import cluster, progress, tracking
from hone.tasks.contracts import PreparedData, StageRecord
from hone.tasks.model.training.trainable import TrainingEvent
from hone.tasks.stage import RunContext, StageWorkspace, run_stage
from hone.tasks.tracking import server
from tests.model.training_fixtures import make_job
from tests.processes import training_workers

NAMES = ("one", "other", "first", "second")
PATIENCE = 120.0
"""Seconds that one run waits for the other."""


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def started(self, stage: str) -> None:
        self.told.append(f"{stage} begins")

    def advanced(self, stage: str, done: float, total: float, note: str) -> None:
        self.told.append(note)

    def finished(self, record: StageRecord, headline: str) -> None:
        self.told.append(f"{record.name} {record.status}")


def recipe(name: str) -> Recipe:
    return parse_recipe({"name": name, "seed": len(name), "data": {"train": "a.csv"}, "model": {"source": "a"}})


def run(name: str, records: Path, folder: Path, meet: Callable[[], Any]) -> list[str]:
    """A run of one small stage, which meets the other run in the middle of it; what its listener heard."""
    heard, own = Heard(), recipe(name)
    tracking.configure(records)
    with tracking.pipeline_run(name, own.model_dump(mode="json"), {}) as run_id, progress.listening(heard):
        context = RunContext(recipe=own, output=str(folder / "out"), storage=str(folder), mlflow_run_id=run_id)

        def body(workspace: StageWorkspace) -> dict[str, Any]:
            meet()
            workspace.advanced(1, 2, f"half of {name}")
            workspace.log.metrics({f"loss_of_{name}": workspace.seed})
            (workspace.folder / "splits").mkdir()
            (workspace.folder / "splits" / "train.txt").write_text(name)
            meet()
            artifact = workspace.artifact("splits", [])
            return {"artifact": artifact, "content_digest": artifact.digest, "labels": ["no"], "rows": {"train": 1}}

        body.__module__ = "hone.tasks.data.task"
        run_stage(context, "data", PreparedData, body, settings={"of": name}, inputs={})
    return heard.told


def recorded(records: Path) -> set[str]:
    """Names of these tests' runs, and of their stages' own metrics, in the records below a folder."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{records}/mlflow.db")
    ours = [one.experiment_id for one in client.search_experiments() if one.name in NAMES]
    runs = client.search_runs(ours)
    losses = {name for one in runs for name in one.data.metrics if name.startswith("loss")}
    return {one.info.run_name for one in runs} | losses


@dataclass
class Story:
    """What came of the runs `one` and `other`, at the same time in this process."""

    records: dict[str, Path]
    folders: dict[str, Path]
    heard: dict[str, list[str]]


@pytest.fixture(scope="module")
def story(session_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """One writes into the records of all tests, and the other into new ones."""
    folder, meet = tmp_path_factory.mktemp("runs"), Barrier(2, timeout=PATIENCE)
    records = {"one": session_folder / "storage of the tests", "other": folder / "records"}
    folders = {name: folder / name for name in records}
    with ThreadPoolExecutor(2) as threads:
        going = {name: threads.submit(run, name, records[name], folders[name], meet.wait) for name in records}
    return Story(records, folders, {name: one.result() for name, one in going.items()})


def told(name: str) -> list[str]:
    return ["data begins", f"half of {name}", "data ran"]


def test_of_two_runs_at_once_each_listener_hears_its_own(story: Story) -> None:
    assert story.heard == {"one": told("one"), "other": told("other")}


def test_of_two_runs_at_once_each_has_its_own_records(story: Story) -> None:
    for name in story.heard:
        assert recorded(story.records[name]) >= {name, "data", f"loss_of_{name}"}
        texts = [file.read_text() for file in story.folders[name].glob("stages/data/*/*/splits/train.txt")]
        assert texts == [name]
    assert not recorded(story.records["one"]) & {"other", "loss_of_other"}
    assert not recorded(story.records["other"]) & {"one", "loss_of_one"}
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_a_run_after_another_has_its_own_listeners_and_records(story: Story) -> None:
    first = run("first", story.records["one"], story.folders["one"], lambda: None)
    assert run("second", story.records["other"], story.folders["other"], lambda: None) == told("second")
    assert first == told("first")
    assert not recorded(story.records["other"]) & {"first", "loss_of_first"}
    assert not recorded(story.records["one"]) & {"second", "loss_of_second"}


def test_the_default_of_mlflow_is_one_runs_at_a_time(story: Story) -> None:
    def look(records: Path) -> set[bool]:
        import mlflow

        own, seen = tracking.configure(records), set()
        for _turn in range(5):
            with server.as_default():
                seen.add(mlflow.get_tracking_uri() == own == os.environ["MLFLOW_TRACKING_URI"])
                time.sleep(0.01)
            seen.add(tracking.configure(records) == own)
        return seen

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(look, story.records.values())) == [{True}, {True}]


def workers() -> set[int]:
    return {process.pid for process in training_workers()}


@pytest.mark.timeout(2400)
def test_two_runs_train_at_once_and_the_workers_of_one_outlive_the_others(tmp_path: Path) -> None:
    """One Ray: both ask for all cores of the machine, and the first that is done ends its workers alone."""
    import ray

    seen: list[set[int]] = []
    trained = Barrier(2, lambda: seen.append(workers()), timeout=600)
    ended = Barrier(2, lambda: seen.append(workers()), timeout=600)

    def train(name: str, job: str, heard: list[TrainingEvent]) -> None:
        cluster.train(make_job(tmp_path / name, job, rows=64, epochs=1), ComputeSettings(), heard.append)

    def short(heard: list[TrainingEvent]) -> None:
        with cluster.session():
            train("short", "job", heard)
            trained.wait()
            cluster.shutdown()  # as the evaluation does, before it times anything
            ended.wait()

    def long(heard: list[TrainingEvent]) -> None:
        with cluster.session():
            train("long", "job", heard)
            trained.wait()
            ended.wait()
            train("long", "another job", heard)
            seen.append(workers())

    of_short: list[TrainingEvent] = []
    of_long: list[TrainingEvent] = []
    with ThreadPoolExecutor(2) as threads:
        for going in [threads.submit(short, of_short), threads.submit(long, of_long)]:
            going.result()
    both, left, after = seen
    assert len(both) == 2
    assert len(left) == 1
    assert left < both
    assert after == left
    assert len(of_long) == 2 * len(of_short) > 0
    assert not ray.is_initialized()
