"""Workers that train one model together compute what one alone would, and fail together."""

import dataclasses
import multiprocessing
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from hone.tasks.errors import HoneError, ModelError
from hone.tasks.model.training import loop
from hone.tasks.model.training.trainable import TrainingJob
from hone.tasks.train.supervised import SupervisedTrainable
from tests.model.training_fixtures import curve, finish, killed_after, make_job


def _worker(job: TrainingJob, rank: int, world_size: int, other: TrainingJob | None) -> None:
    store = dist.FileStore(str(job.workdir.parent / f"{job.workdir.name}.store"), world_size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size)
    try:
        loop.run(other if rank == 1 and other is not None else job, rank, world_size)
    except HoneError as error:
        (job.workdir / f"error-{rank}").write_text(f"{type(error).__name__}: {error}")
    os._exit(0)


def _refuse(job: TrainingJob, device: torch.device) -> SupervisedTrainable:
    raise ModelError("this one cannot")


def _stumble(job: TrainingJob, device: torch.device) -> SupervisedTrainable:
    raise IndexError("index out of range in self")


def run_workers(job: TrainingJob, world_size: int, other: TrainingJob | None = None) -> None:
    """In processes of their own; the second worker does another job, where there is one."""
    job.workdir.mkdir(exist_ok=True)
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_worker, args=(job, rank, world_size, other)) for rank in range(world_size)]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
        assert child.exitcode == 0


def test_three_workers_share_uneven_batches_and_get_the_loss_curve_of_one(folder: Path) -> None:
    settings: dict[str, Any] = {"dropout": 0.0, "rows": 61, "batch_size": 12, "accumulate": 2}
    # 61 = 5 * 12 + 1: the last batch has 1 row for three workers.
    one = finish(make_job(folder, "one-worker", **settings))
    job = make_job(folder, "three-workers", **settings)
    run_workers(job, 3)
    three = loop.read_result(job)
    assert three is not None
    for name in ("train_loss", "validation_loss"):
        difference = np.subtract(curve(one, name).values, curve(three, name).values)
        assert np.abs(difference).max() < 1e-4, name  # measured: 1e-7


@pytest.mark.parametrize(
    ("make", "told"), [(_refuse, "ModelError: this one cannot"), (_stumble, "TrainingError: IndexError: index out of")]
)
def test_an_error_of_one_worker_is_raised_by_all(folder: Path, make: Any, told: str) -> None:
    job = make_job(folder, f"one-fails-{make.__name__}")
    run_workers(job, 2, dataclasses.replace(job, make_trainable=make))
    errors = [(job.workdir / f"error-{rank}").read_text() for rank in (0, 1)]
    assert errors[0] == errors[1]
    assert errors[0].startswith(told)


def test_a_point_that_is_damaged_for_one_worker_alone_is_refused_by_all(folder: Path) -> None:
    """Where a bucket is between them, each worker has a copy of its own."""
    job = make_job(folder, "whole-here")
    killed_after(job, 7)
    there = dataclasses.replace(job, workdir=folder / "damaged-there")
    shutil.copytree(job.workdir, there.workdir)
    (there.workdir / "resume-5" / "optimizer.safetensors").write_bytes(b"x")
    run_workers(job, 2, there)
    errors = [(job.workdir / f"error-{rank}").read_text() for rank in (0, 1)]
    assert errors[0] == errors[1]
    assert re.match(r"DamagedArtifactError: .*/damaged-there/resume-5: optimizer.safetensors changed", errors[0])
