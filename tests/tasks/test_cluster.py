"""Training on real Ray workers: shared out exactly, resumed after a real death, refused before it starts."""

import ast
import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from hone.configs.delivery import ComputeSettings
from hone.configs.model import ModelSettings
from hone.tasks import cluster, version
from hone.tasks.errors import ModelError, PreflightError, TrainingError
from hone.tasks.model.training import loop
from hone.tasks.model.training.trainable import TrainingEvent, TrainingJob, TrainingResult
from tests.model.training_fixtures import curve, files, make_clumsy, make_job, make_mortal
from tests.processes import below, training_workers

pytestmark = pytest.mark.timeout(2400)
TWO = ComputeSettings(workers=2, max_failures=2, memory_per_worker=0.25)


def nothing(event: TrainingEvent) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One pool of two workers serves the tests of this file, as it serves the stages of a run."""
    yield tmp_path_factory.mktemp("cluster")
    cluster.shutdown()


def job_of(folder: Path, name: str) -> TrainingJob:
    """20 steps of 32 rows."""
    return make_job(folder, name, dropout=0.0, rows=160, batch_size=32, epochs=4)


@pytest.fixture(scope="module")
def undisturbed(folder: Path) -> TrainingResult:
    return cluster.train(job_of(folder, "undisturbed"), TWO, nothing)


def test_two_workers_at_batch_16_give_the_loss_curve_of_one_worker_at_batch_32(
    folder: Path, undisturbed: TrainingResult
) -> None:
    one = job_of(folder, "one-worker")
    loop.run(one)
    alone = loop.read_result(one)
    assert alone is not None
    for name in ("train_loss", "validation_loss"):
        theirs, ours = curve(undisturbed, name), curve(alone, name)
        assert theirs.steps == ours.steps
        assert np.abs(np.subtract(theirs.values, ours.values)).max() < 1e-4, name  # measured: 1e-7
    assert len(curve(undisturbed, "train_loss").steps) == 20


def test_one_pool_serves_job_after_job(folder: Path, undisturbed: TrainingResult) -> None:
    before = {process.pid for process in training_workers()}
    again = cluster.train(job_of(folder, "again"), TWO, nothing)
    assert {process.pid for process in training_workers()} == before
    assert len(before) == 2
    assert files(again.best) == files(undisturbed.best)
    commands = " ".join(command for _process, command in below())
    for helper in ("TrainController", "DatasetManager", "AutoscalingCoordinator"):  # see `hone.tasks.cluster.trainer`
        assert helper not in commands


def test_the_memory_of_the_workers_is_taken_from_what_ray_has(folder: Path, undisturbed: TrainingResult) -> None:
    import ray

    taken = ray.cluster_resources()["memory"] - ray.available_resources()["memory"]
    assert taken == 2 * 0.25 * 1024**3


def test_an_error_of_the_learner_arrives_as_it_was_raised_and_the_workers_live_on(
    folder: Path, undisturbed: TrainingResult
) -> None:
    before = {process.pid for process in training_workers()}
    job = job_of(folder, "no-encoder")
    job = dataclasses.replace(job, arguments=job.arguments | {"model": ModelSettings(source="/no/such/folder")})
    with pytest.raises(ModelError, match=r"'/no/such/folder': there is no such folder"):
        cluster.train(job, TWO, nothing)
    assert {process.pid for process in training_workers()} == before


def test_a_fault_in_the_code_of_one_worker_ends_the_job_at_once_by_its_name(
    folder: Path, undisturbed: TrainingResult
) -> None:
    job = dataclasses.replace(job_of(folder, "clumsy"), make_trainable=make_clumsy)
    message = r"^IndexError: list index out of range \(training_fixtures\.py, line \d+\)\. Every start"
    with pytest.raises(TrainingError, match=message) as told:
        cluster.train(job, TWO, nothing)
    assert "memory" not in str(told.value)
    assert (folder / "starts").read_text() == "start\n"


def test_a_worker_that_is_killed_resumes_and_the_job_ends_as_if_undisturbed(
    folder: Path, undisturbed: TrainingResult
) -> None:
    heard: list[TrainingEvent] = []
    job = dataclasses.replace(job_of(folder, "killed"), make_trainable=make_mortal)
    result = cluster.train(job, TWO, heard.append)
    assert int((folder / "grave").read_text()) not in {process.pid for process in training_workers()}
    assert files(result.best) == files(undisturbed.best)
    assert result.curves == undisturbed.curves
    told = [(event.step, name) for event in heard for name in event.values]
    assert len(told) == len(set(told)) == sum(len(one.steps) for one in result.curves)
    assert "resumed after epoch 2/4" in [event.note for event in heard]


def test_workers_that_keep_dying_end_the_job_with_a_way_out(folder: Path) -> None:
    """Here, as the pool of these tests has lost its workers twice already, at the first death."""

    def kill_all(event: TrainingEvent) -> None:
        for process in training_workers():
            process.kill()

    message = r"compute\.max_failures = 2 allows.*The same command goes on from the last checkpoint"
    with pytest.raises(TrainingError, match=message):
        cluster.train(make_job(folder, "hopeless", epochs=200), TWO, kill_all)


def test_a_finished_job_needs_no_cluster(folder: Path, undisturbed: TrainingResult) -> None:
    heard: list[TrainingEvent] = []
    impossible = ComputeSettings(workers=2, cpus_per_worker=1000)
    again = cluster.train(job_of(folder, "undisturbed"), impossible, heard.append)
    assert again == undisturbed
    assert len(heard) == 25


def test_a_cluster_with_other_code_than_the_run_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = version.code_digest()
    monkeypatch.setattr(version, "code_digest", lambda: "0123456789abcdef")
    with pytest.raises(PreflightError, match=rf"runs Hone's code {own} from .* has 0123456789abcdef: install one"):
        cluster.train(job_of(folder, "strange"), ComputeSettings(workers=1), nothing)


@pytest.mark.parametrize(
    ("compute", "asked"),
    [
        (ComputeSettings(workers=2, cpus_per_worker=1000), r"2 workers of 1000 CPUs and 0 GPUs each"),
        (ComputeSettings(gpus_per_worker=16), r"1 workers of any number of CPUs and 16 GPUs each"),
        (ComputeSettings(memory_per_worker=65_536), r"CPUs and 0 GPUs and 65536 GiB of memory each"),
    ],
)
def test_what_the_cluster_lacks_is_said_within_a_minute_and_before_anything_starts(
    folder: Path, compute: ComputeSettings, asked: str
) -> None:
    begun = time.monotonic()
    with pytest.raises(PreflightError, match=rf"compute asks for .*{asked}, and the cluster has 1 node\(s\) with \d"):
        cluster.train(job_of(folder, "too-large"), compute, nothing)
    assert time.monotonic() - begun < 60
    assert not (folder / "too-large").exists()


def test_the_cluster_says_what_each_worker_gets() -> None:
    found = cluster.cluster_resources(ComputeSettings(workers=1))
    assert found["address"] == "local"
    assert found["nodes"] == 1
    assert found["cpus_per_worker"] == int(found["cpus"])


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", r"RAY_ADDRESS = '127\.0\.0\.1:1': nothing listens there.*or unset RAY_ADDRESS"),
        ("ray://127.0.0.1:10001", r"give it as HOST:PORT of the head node"),
        ("somewhere", r"RAY_ADDRESS = 'somewhere': give it as HOST:PORT"),
    ],
)
def test_an_address_where_no_cluster_is_is_an_error_within_seconds(
    address: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.shutdown()
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(PreflightError, match=message):
        cluster.cluster_resources(ComputeSettings())


@pytest.fixture
def head() -> Iterator[str]:
    """The address of a cluster that somebody else has started, with a CPU count of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ray = Path(sys.executable).with_name("ray")
    command = [str(ray), "start", "--head", "--block", "--num-cpus=7", f"--port={port}", "--include-dashboard=false"]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    for _second in range(120):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(1)
    yield f"127.0.0.1:{port}"
    for process, _command in below(started.pid):
        with contextlib.suppress(psutil.Error):
            process.kill()
    started.kill()
    started.wait()


def test_a_cluster_that_is_there_is_used_through_ray_address(head: str) -> None:
    program = (
        "from hone.configs.delivery import ComputeSettings; from hone.tasks import cluster; "
        "print(cluster.cluster_resources(ComputeSettings(workers=3))); cluster.shutdown()"
    )
    environment = os.environ | {"RAY_ADDRESS": head}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=900, check=True
    )
    found = ast.literal_eval(done.stdout)
    assert (found["address"], found["cpus"], found["cpus_per_worker"]) == (head, 7.0, 2.0)
