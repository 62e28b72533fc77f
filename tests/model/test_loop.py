"""The one training loop: what a step computes, what an epoch tells, and that the same seed gives the same model."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hone.tasks.model.checkpoints.checkpoint import load_model
from hone.tasks.model.text import bucketed_batches, make_batch, model_inputs
from hone.tasks.model.training import loop
from hone.tasks.model.training.events import read_events
from hone.tasks.model.training.trainable import TrainingJob, TrainingResult
from hone.tasks.train.supervised import SupervisedTrainable, make_trainable
from tests.model.training_fixtures import curve, files, finish, make_job


def test_a_tiny_encoder_learns_the_tiny_corpus(folder: Path) -> None:
    result = finish(make_job(folder, "learns", dropout=0.0, epochs=6, batch_size=8, learning_rate=3e-3))
    assert result.validation["accuracy"] > 0.9  # measured: 1.0
    losses = curve(result, "train_loss").values
    assert losses[-1] < 0.3 < losses[0]


def test_the_first_step_is_that_of_adamw_on_the_mean_loss(folder: Path) -> None:
    job = make_job(folder, "by-hand", dropout=0.0, epochs=1, warmup_fraction=0.0, max_grad_norm=1e9, weight_decay=0.0)
    trainable = make_trainable(job, torch.device("cpu"))
    rows = bucketed_batches(trainable.train.lengths, 32, job.seed, 1)[0]
    batch = make_batch(trainable.train, rows, 0, "cpu")
    expected = nn.functional.cross_entropy(trainable.module.model(**model_inputs(batch)).logits, batch["labels"])
    result = finish(job)
    assert curve(result, "train_loss").values[0] == pytest.approx(float(expected.detach()), abs=1e-6)
    assert curve(result, "learning_rate").values == pytest.approx([2e-3, 1.6e-3, 1.2e-3, 8e-4, 4e-4])


def test_accumulation_gives_the_loss_curve_of_whole_batches(folder: Path) -> None:
    whole = finish(make_job(folder, "whole", dropout=0.0))
    parts = finish(make_job(folder, "parts", dropout=0.0, accumulate=4))
    difference = np.subtract(curve(whole, "train_loss").values, curve(parts, "train_loss").values)
    assert np.abs(difference).max() < 1e-5  # measured: 1e-7


def test_activation_checkpointing_changes_nothing_but_time(folder: Path) -> None:
    plain = finish(make_job(folder, "plain", dropout=0.0, epochs=1))
    checkpointed = finish(make_job(folder, "checkpointed", dropout=0.0, epochs=1, activation_checkpointing=True))
    assert curve(plain, "train_loss").values == pytest.approx(curve(checkpointed, "train_loss").values, abs=1e-6)


def test_activations_are_really_recomputed(folder: Path) -> None:
    trainable = make_trainable(make_job(folder), torch.device("cpu"))
    loop._recompute_activations(trainable.module)
    passes: list[int] = []
    trainable.module.model.bert.encoder.layer[0].register_forward_pre_hook(lambda *_: passes.append(1))
    trainable.module.train()
    trainable.module(make_batch(trainable.train, np.arange(4), 0, "cpu"))["loss"].backward()
    assert len(passes) == 1
    inner: list[int] = []
    trainable.module.model.bert.encoder.layer[0].intermediate.register_forward_pre_hook(lambda *_: inner.append(1))
    trainable.module(make_batch(trainable.train, np.arange(4), 0, "cpu"))["loss"].backward()
    assert len(inner) == 2


def test_bf16_learns_what_fp32_learns(folder: Path) -> None:
    exact = finish(make_job(folder, "exact", dropout=0.0))
    rough = finish(make_job(folder, "rough", dropout=0.0, precision="bf16"))
    difference = np.subtract(curve(exact, "train_loss").values, curve(rough, "train_loss").values)
    assert 0 < np.abs(difference).max() < 0.01  # measured: 8e-5


def test_weights_stay_fp32_in_bf16(folder: Path) -> None:
    result = finish(make_job(folder, "stays", epochs=1, precision="bf16"))
    assert {parameter.dtype for parameter in load_model(result.best).parameters()} == {torch.float32}


def test_gradients_are_clipped_to_the_norm(folder: Path) -> None:
    norms = []

    class Watched(SupervisedTrainable):
        def after_step(self) -> None:
            norms.append(1)

    def make(job: TrainingJob, device: torch.device) -> Watched:
        trainable = Watched(**vars(make_trainable(job, device)))
        for parameter in trainable.module.parameters():
            parameter.register_hook(lambda gradient: gradient * 1e6)
        return trainable

    real_clip, seen = nn.utils.clip_grad_norm_, []

    def clip(parameters: Any, limit: float) -> Tensor:
        parameters = list(parameters)
        before = real_clip(parameters, limit)
        after = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in parameters]))
        seen.append((float(before), float(after)))
        return before

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.utils, "clip_grad_norm_", clip)
        finish(dataclasses.replace(make_job(folder, "clipped", epochs=1, max_grad_norm=0.5), make_trainable=make))
    assert len(norms) == len(seen) == 5
    assert all(before > 0.5 for before, _after in seen)
    assert [after for _before, after in seen] == pytest.approx([0.5] * 5, rel=1e-3)


def test_the_same_seed_trains_the_same_model_to_the_last_bit(folder: Path, undisturbed: TrainingResult) -> None:
    again = finish(make_job(folder, "again"))
    assert files(again.best) == files(undisturbed.best)
    assert again.curves == undisturbed.curves


def test_another_seed_trains_another_model(folder: Path, undisturbed: TrainingResult) -> None:
    other = finish(dataclasses.replace(make_job(folder, "other"), seed=8))
    assert files(other.best)["model.safetensors"] != files(undisturbed.best)["model.safetensors"]


def test_events_tell_every_step_and_every_epoch_once(undisturbed: TrainingResult, folder: Path) -> None:
    assert curve(undisturbed, "train_loss").steps == list(range(1, 16))
    assert curve(undisturbed, "validation_accuracy").steps == [0, 5, 10, 15]
    events = read_events(folder / "undisturbed" / "events.jsonl")
    assert {event.total_steps for event in events} == {15}
    assert re.fullmatch(r"epoch 1/3, loss \d\.\d{4}", events[1].note)
    assert re.fullmatch(r"epoch 3/3, validation accuracy \d\.\d{4}", events[-1].note)


def test_a_long_run_tells_means_over_windows(folder: Path) -> None:
    job = make_job(folder, "long", rows=410, batch_size=2, epochs=2)
    result = finish(job)
    steps = curve(result, "train_loss").steps
    assert steps == [*range(2, 205, 2), 205, *range(207, 410, 2), 410]


def test_the_result_is_plain_json(folder: Path, undisturbed: TrainingResult) -> None:
    content = json.loads((folder / "undisturbed" / "result.json").read_text())
    assert set(content) == {"job", "validation", "sums"}
