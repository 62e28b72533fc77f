"""A killed run ends as an undisturbed one, and nothing damaged or of another job is gone on from."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from hone.tasks.errors import DamagedArtifactError
from hone.tasks.model.training import loop
from hone.tasks.model.training.events import read_events
from hone.tasks.model.training.resume import has_point, read_point, unreadable
from hone.tasks.model.training.trainable import TrainingJob, TrainingResult
from hone.tasks.train.supervised import SupervisedTrainable, make_trainable
from tests.model.training_fixtures import curve, files, finish, killed_after, make_job


@pytest.mark.parametrize("steps", [2, 7, 13])
def test_a_killed_run_resumes_and_ends_as_an_undisturbed_one(
    folder: Path, undisturbed: TrainingResult, steps: int
) -> None:
    job = make_job(folder, f"killed-{steps}")
    killed_after(job, steps)
    assert loop.read_result(job) is None
    result = finish(job)
    assert files(result.best) == files(undisturbed.best)
    assert result.curves == undisturbed.curves
    assert (result.validation["accuracy"], result.validation["loss"]) == (
        undisturbed.validation["accuracy"],
        undisturbed.validation["loss"],
    )


def test_a_run_that_is_killed_inside_an_epoch_goes_on_inside_it(folder: Path) -> None:
    """With dropout, so that what is drawn after the point has to be the same too."""
    whole = finish(make_job(folder, "inside-whole", checkpoint_steps=2, patience=2))
    job = make_job(folder, "inside-killed", checkpoint_steps=2, patience=2)
    killed_after(job, 10)  # the point is that after step 9, the fourth of the second epoch
    assert [path.name for path in job.workdir.glob("resume-*")] == ["resume-9"]
    result = finish(job)
    assert files(result.best) == files(whole.best)
    assert result.curves == whole.curves
    assert "resumed after step 9/15 in epoch 2/3" in [e.note for e in read_events(job.workdir / "events.jsonl")]


def test_a_resumed_run_does_not_repeat_finished_epochs(folder: Path) -> None:
    job = make_job(folder, "from-epoch-2")
    killed_after(job, 12)
    assert sorted(path.name for path in job.workdir.glob("resume-*")) == ["resume-10"]
    steps: list[int] = []

    class Counted(SupervisedTrainable):
        def after_step(self) -> None:
            steps.append(1)

    def make(job: TrainingJob, device: torch.device) -> Counted:
        return Counted(**vars(make_trainable(job, device)))

    make.__module__, make.__qualname__ = make_trainable.__module__, make_trainable.__qualname__
    finish(dataclasses.replace(job, make_trainable=make))
    assert len(steps) == 5


def test_a_point_holds_safetensors_and_json_alone(folder: Path, undisturbed: TrainingResult) -> None:
    [point] = (folder / "undisturbed").glob("resume-*")
    assert {path.suffix for path in point.iterdir()} == {".safetensors", ".json"}


def test_a_damaged_point_is_not_resumed_from(folder: Path) -> None:
    job = make_job(folder, "damaged")
    killed_after(job, 7)
    weights = job.workdir / "resume-5" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DamagedArtifactError, match=r"resume-5: model\.safetensors changed .*--fresh"):
        loop.run(job)


def test_what_another_job_left_in_the_folder_is_ignored(folder: Path) -> None:
    other = make_job(folder, "shared", learning_rate=1e-4)
    finish(other)
    job = make_job(folder, "shared", epochs=2)
    assert loop.read_result(job) is None
    assert files(finish(job).best) == files(finish(make_job(folder, "unshared", epochs=2)).best)
    assert curve(finish(job), "train_loss").steps == list(range(1, 11))


def test_a_finished_job_is_not_trained_again(folder: Path, undisturbed: TrainingResult) -> None:
    job = dataclasses.replace(make_job(folder, "undisturbed"))
    before = (job.workdir / "result.json").stat().st_mtime_ns
    loop.run(job)
    assert (job.workdir / "result.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("content", ["", '{"job": "', "[]"])
def test_a_torn_result_or_point_is_not_there_and_training_ends_as_it_should(
    folder: Path, undisturbed: TrainingResult, content: str
) -> None:
    """As a power cut leaves the counters of a point, or the result: empty, or half of it."""
    job = make_job(folder, "torn")
    if not job.workdir.exists():
        shutil.copytree(folder / "undisturbed", job.workdir)
    (job.workdir / "result.json").write_text(content)
    [counters] = job.workdir.glob("resume-*/counters.json")
    whole = counters.read_text()
    counters.write_text(content)
    assert loop.read_result(job) is None
    module = make_trainable(job, torch.device("cpu")).module
    found = read_point(job.workdir, loop.job_digest(job), module, torch.optim.AdamW(module.parameters()))
    assert (found.epoch, found.step) == (0, 0)
    assert not has_point(job.workdir, loop.job_digest(job))
    for file, reason in zip([counters, job.workdir / "result.json"], unreadable(job.workdir), strict=True):
        assert reason.startswith(f"unreadable: {file}")
    counters.write_text(whole)
    assert files(finish(job).best) == files(undisturbed.best)
    assert finish(job).curves == undisturbed.curves
    assert any(
        event.note.startswith(f"unreadable: {job.workdir / 'result.json'}")
        for event in read_events(job.workdir / "events.jsonl")
    )
