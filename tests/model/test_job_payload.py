"""A job travels through the bucket to machines that see nothing of each other's disks, and so does what comes back."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hone.tasks import storage
from hone.tasks.contracts import Artifact
from hone.tasks.errors import DamagedArtifactError, PreflightError, StorageError
from hone.tasks.model.training.events import EVENTS
from hone.tasks.model.training.job_payload import JobMirror, JobPayload, materialize, upload_inputs
from hone.tasks.model.training.loop import job_digest, read_result, run
from hone.tasks.model.training.trainable import TrainingJob
from tests.model.training_fixtures import make_job

Machines = Callable[[str], Path]


@pytest.fixture
def machine(bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    """Sits down at a machine and returns its mirror of s3://team/hone."""

    def sit(name: str) -> Path:
        monkeypatch.setenv("HONE_MIRROR", str(tmp_path / name))
        return storage.folder_of("s3://team/hone")

    return sit


def job_in(scratch: Path, tmp_path: Path) -> TrainingJob:
    """Data of a finished stage, an encoder that lies outside of the mirror, and a folder to train in."""
    made = make_job(tmp_path / "own", epochs=3)
    data = scratch.parent.parent / "data" / "k"
    shutil.copytree(tmp_path / "own" / "data-160", data)
    storage.send(data)
    arguments = made.arguments | {"data": data, "encoder": Path(made.arguments["model"].source)}
    return TrainingJob(
        made.make_trainable, made.settings, made.seed, scratch / "training", arguments, task="text-classification"
    )


def work(payload: JobPayload, until: str = "") -> list[str]:
    """One worker's life; it ends when it has sent the file `until`. Returns what it sent."""
    sent: list[str] = []
    with materialize(payload, rank=0, world_size=1) as (job, keep):

        def told(name: str) -> None:
            keep(name)
            sent.append(name)
            if name == until:
                raise KeyboardInterrupt

        try:
            run(job, keep=told)
        except KeyboardInterrupt:
            assert until
    return sent


def test_where_workers_see_the_folder_the_parcel_is_the_job(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    assert upload_inputs(job) == JobPayload(job)
    with materialize(JobPayload(job), rank=0, world_size=1) as (same, keep):
        keep("anything")
    assert same is job


def test_a_store_that_fails_in_training_is_no_error_that_all_workers_share(
    machine: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the worker dies, the group with it, and its successor resumes; see `hone.tasks.cluster.worker.serve`."""
    payload = upload_inputs(job_in(machine("driver") / "train.partial" / "scratch", tmp_path))

    def fail(source: Path, uri: str) -> None:
        raise StorageError(f"{uri}: gone")

    machine("worker")
    with materialize(payload, rank=0, world_size=1) as (job, keep):
        monkeypatch.setattr(storage, "put", fail)
        with pytest.raises(ConnectionError, match=r"training/events\.jsonl: gone"):
            run(job, keep=keep)


def test_a_node_that_does_not_see_the_folders_says_so_and_what_to_do(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    payload = JobPayload(TrainingJob(**{**vars(job), "arguments": job.arguments | {"data": tmp_path / "elsewhere"}}))
    with (
        pytest.raises(PreflightError, match=r"elsewhere: the Ray node .* does not see it: .*s3://"),
        materialize(payload, 0, 1),
    ):
        pass


def test_folders_travel_as_artifacts_and_the_job_is_the_same_on_every_machine(
    machine: Machines, tmp_path: Path
) -> None:
    job = job_in(machine("driver") / "train.partial" / "scratch", tmp_path)
    payload = upload_inputs(job)
    assert payload.uri == "s3://team/hone/train.partial/scratch/training"
    found = {name: value for name, value in payload.job.arguments.items() if isinstance(value, Artifact)}
    assert set(found) == {"data", "encoder"}
    assert found["data"].uri == "s3://team/hone/data/k"
    assert found["encoder"].uri.startswith("s3://team/hone/train.partial/scratch/inputs/")
    mirror = machine("worker")
    with materialize(payload, rank=0, world_size=1) as (there, _keep):
        assert there.arguments["data"] == mirror / "data" / "k"
        assert there.arguments["encoder"].is_relative_to(mirror)
        assert job_digest(there) == job_digest(payload.job)
    assert not there.workdir.exists()


def test_what_differs_from_what_was_sent_is_refused(machine: Machines, bucket: Path, tmp_path: Path) -> None:
    payload = upload_inputs(job_in(machine("driver") / "train.partial" / "scratch", tmp_path))
    (bucket / "hone" / "data" / "k" / "train.parquet").write_bytes(b"something else")
    machine("worker")
    with pytest.raises(DamagedArtifactError, match=r"train|k: its content is"), materialize(payload, 0, 1):
        pass


def test_a_successor_on_another_machine_goes_on_and_the_driver_gets_the_same_model(
    machine: Machines, bucket: Path, tmp_path: Path
) -> None:
    undisturbed = make_job(tmp_path / "own", epochs=3)
    run(undisturbed)
    driver = machine("driver")
    job = job_in(driver / "train.partial" / "scratch", tmp_path)
    payload, mirror = upload_inputs(job), JobMirror(job.workdir)

    machine("first")
    assert "resume-10" not in work(payload, until="resume-5")
    machine("driver")
    mirror.events()
    told = (job.workdir / EVENTS).read_text().splitlines()
    half = bucket / "hone/train.partial/scratch/training/resume-10"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half of a point: its worker died while it sent it")
    machine("second")
    assert "resume-5" not in work(payload)

    machine("driver")
    mirror.result()
    here = TrainingJob(**{**vars(job), "identity": payload.job.identity})
    result, expected = read_result(here), read_result(undisturbed)
    assert result is not None
    assert expected is not None
    assert (result.best / "model.safetensors").read_bytes() == (expected.best / "model.safetensors").read_bytes()
    assert [(curve.name, curve.steps) for curve in result.curves] == [
        (curve.name, curve.steps) for curve in expected.curves
    ]
    assert told == (job.workdir / EVENTS).read_text().splitlines()[: len(told)]
    assert [path.name for path in (bucket / "hone/train.partial/scratch/training").glob("resume-*")] == ["resume-15"]
    assert not list(job.workdir.glob("resume-*/*.safetensors"))  # gigabytes that the driver has no use for
