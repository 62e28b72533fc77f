"""A tiny training job: data it can learn, what came of it, and a worker's death on request."""

import dataclasses
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import BertConfig

from hone.configs.model import ModelSettings
from hone.configs.section import TrainingSection
from hone.tasks.contracts import Curve
from hone.tasks.model.training import loop
from hone.tasks.model.training.trainable import TrainingJob, TrainingResult
from hone.tasks.train.supervised import SupervisedTrainable, classification_arguments, make_trainable
from tests.model.teaching_fixtures import write_data
from tests.tiny import write_encoder

LABELS = ["bad", "good"]


def make_job(folder: Path, name: str = "job", dropout: float = 0.1, rows: int = 160, **settings: Any) -> TrainingJob:
    """A job on the same encoder and data for every name in a folder."""
    encoder, data = folder / f"encoder-{dropout}", folder / f"data-{rows}"
    if not encoder.exists():
        write_encoder(encoder, layers=2)
        config = BertConfig.from_pretrained(encoder)
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
        config.save_pretrained(encoder)
    if not data.exists():
        write_data(data, train=rows, validation=40)
    model = ModelSettings(source=str(encoder), weights="random", max_length=32)
    section = TrainingSection.model_validate({"epochs": 3, "learning_rate": 2e-3, **settings})
    return TrainingJob(
        make_trainable,
        section,
        7,
        folder / name,
        classification_arguments(model, LABELS, data),
        task="text-classification",
    )


class Interrupted(SupervisedTrainable):
    """Its process dies after as many steps as the environment says, without a word, as after kill -9."""

    def after_step(self) -> None:
        left = int(os.environ["HONE_TEST_STEPS"]) - 1
        os.environ["HONE_TEST_STEPS"] = str(left)
        if left == 0:
            os._exit(9)


def make_interrupted(job: TrainingJob, device: torch.device) -> Interrupted:
    """As the real one, but for the death; under the real one's name, as job_digest reads it."""
    return Interrupted(**vars(make_trainable(job, device)))


make_interrupted.__module__, make_interrupted.__qualname__ = make_trainable.__module__, make_trainable.__qualname__


class Mortal(SupervisedTrainable):
    """The second worker is killed at its 12th step, once."""

    steps = 0
    grave: Path

    def after_step(self) -> None:
        self.steps += 1
        if self.steps == 12 and dist.get_rank() == 1 and not self.grave.exists():
            self.grave.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)


def make_mortal(job: TrainingJob, device: torch.device) -> Mortal:
    """As the real one, but for the death, which leaves the file `grave` beside the job's folder."""
    trainable = Mortal(**vars(make_trainable(job, device)))
    trainable.grave = job.workdir.parent / "grave"
    return trainable


class Clumsy(SupervisedTrainable):
    """The second worker's code has a fault that it comes to at its third step, every time."""

    steps = 0
    starts: Path

    def after_step(self) -> None:
        self.steps += 1
        if self.steps == 3 and dist.get_rank() == 1:
            with self.starts.open("a") as stream:
                stream.write("start\n")
            raise IndexError("list index out of range")


def make_clumsy(job: TrainingJob, device: torch.device) -> Clumsy:
    """As the real one, but for the fault; each start adds a line to the file `starts` beside the job's folder."""
    trainable = Clumsy(**vars(make_trainable(job, device)))
    trainable.starts = job.workdir.parent / "starts"
    return trainable


def finish(job: TrainingJob) -> TrainingResult:
    """Trains a job in this process."""
    loop.run(job)
    result = loop.read_result(job)
    assert result is not None
    return result


def curve(result: TrainingResult, name: str) -> Curve:
    """The curve of that name."""
    [found] = [one for one in result.curves if one.name == name]
    return found


def files(folder: Path) -> dict[str, bytes]:
    """Contents by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def killed_after(job: TrainingJob, steps: int) -> None:
    """Runs a job in a process that ends like one that was killed, in the middle of an epoch."""
    job = dataclasses.replace(job, make_trainable=make_interrupted)
    os.environ["HONE_TEST_STEPS"] = str(steps)
    child = multiprocessing.get_context("fork").Process(target=loop.run, args=(job,))
    child.start()
    child.join()
    assert child.exitcode == 9
