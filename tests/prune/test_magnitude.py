"""W' = W * 1(|W| >= tau)."""

import dataclasses
import multiprocessing
import os
import traceback

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from hone.configs.model import DistillSettings, PruneSettings
from hone.tasks.model.architectures.linears import linear_names
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer, save_model
from hone.tasks.model.text import make_batch
from hone.tasks.model.training.distillation import DistillationTrainable, distillation_arguments
from hone.tasks.model.training.loop import read_result, run
from hone.tasks.model.training.sparsity_mask import sparsity_mask
from hone.tasks.model.training.trainable import TrainingJob
from hone.tasks.prune.magnitude import GradualMagnitude, Magnitude, threshold, zero_below
from hone.tasks.prune.masks import sparsity_of
from hone.tasks.prune.recovery import make_trainable
from hone.tasks.prune.schedule import cubic_schedule
from tests.model.teaching_fixtures import ask_teacher, write_data, write_teacher
from tests.prune.encoders import tiny


def two_layers():
    """Weights 1 .. 6 with signs, in two layers; a bias that is smaller than all of them."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, -2.0], [3.0, -4.0]]))
        model[1].weight.copy_(torch.tensor([[5.0, -6.0]]))
        for layer in model:
            layer.bias.fill_(0.1)
    return model


def zero_smallest(model, sparsity):
    return Magnitude(PruneSettings(method="magnitude", sparsity=sparsity)).prepare(model, None)


def test_magnitude_by_hand():
    model = two_layers()
    assert threshold(model, 0.5) == 4.0
    zero_below(model, 4.0)
    assert model[0].weight.tolist() == [[0, 0], [0, -4]]
    assert model[1].weight.tolist() == [[5, -6]]
    assert model[0].bias.tolist() == pytest.approx([0.1, 0.1])
    assert sparsity_of(model) == 0.5


def test_one_threshold_holds_for_all_layers():
    model = two_layers()
    zero_below(model, threshold(model, 0.67))
    assert [torch.count_nonzero(layer.weight).item() for layer in model] == [0, 2]


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_the_sparsity_counted_is_the_sparsity_wanted(sparsity):
    model = tiny("bert")
    total = sum(model.get_submodule(name).weight.numel() for name in linear_names(model))
    kept = zero_smallest(model, sparsity)
    assert kept == [0, 1, 2]
    assert sparsity_of(model) == pytest.approx(int(sparsity * total) / total, abs=1e-12)


def test_no_kept_weight_is_smaller_than_a_removed_one():
    model, before = tiny("roberta"), tiny("roberta")
    zero_smallest(model, 0.7)
    kept, gone = [], []
    for name in linear_names(model):
        mask = model.get_submodule(name).weight != 0
        kept.append(before.get_submodule(name).weight[mask].abs())
        gone.append(before.get_submodule(name).weight[~mask].abs())
    assert torch.cat(kept).min() >= torch.cat(gone).max()


def test_zeroing_twice_is_zeroing_once():
    model = tiny("bert")
    tau = threshold(model, 0.5)
    zero_below(model, tau)
    once = {name: value.clone() for name, value in model.state_dict().items()}
    zero_below(model, tau)
    assert all(torch.equal(value, once[name]) for name, value in model.state_dict().items())


def test_equal_weights_stay_together():
    model = nn.Sequential(nn.Linear(4, 1))
    nn.init.constant_(model[0].weight, 2.0)
    zero_below(model, threshold(model, 0.5))
    assert sparsity_of(model) == 0


def test_held_zeros_stay_zero_through_training():
    model = tiny("bert")
    zero_smallest(model, 0.6)
    before = sparsity_of(model)
    hold = sparsity_mask(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids = torch.randint(2, 60, (8, 6))
    for _ in range(5):
        loss = nn.functional.cross_entropy(model(input_ids=ids).logits, torch.tensor([0, 1] * 4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        hold()
        assert sparsity_of(model) == before
    optimizer.step()
    assert sparsity_of(model) < before  # without the mask they would not stay


def test_the_recovery_learner_holds_the_zeros_of_the_checkpoint_it_starts_from(tmp_path):
    torch.set_num_threads(1)
    loss = DistillSettings()
    teacher, data = write_teacher(tmp_path / "teacher"), write_data(tmp_path / "data")
    outputs = ask_teacher(tmp_path / "storage", teacher, data, loss, [0, 1, 2])
    student = load_model(teacher)
    zero_smallest(student, 0.5)
    save_model(student, load_tokenizer(teacher), tmp_path / "sparse")
    arguments = distillation_arguments(
        student=tmp_path / "sparse",
        data=data,
        teacher_outputs=outputs,
        loss=loss,
        max_length=32,
        student_layers=[0, 1, 2],
    )
    settings = PruneSettings(method="magnitude")
    trainable = make_trainable(
        TrainingJob(make_trainable, settings, 0, tmp_path, arguments, task="text-classification"), torch.device("cpu")
    )
    optimizer = torch.optim.AdamW(trainable.module.parameters(), lr=1e-2)
    batch = make_batch(trainable.train, torch.arange(8).numpy(), trainable.tokenizer.pad_token_id, "cpu")
    for _ in range(3):
        optimizer.zero_grad()
        trainable.module(batch)["loss"].backward()
        optimizer.step()
        trainable.after_step()
    trainable.save(tmp_path / "saved")
    assert sparsity_of(load_model(tmp_path / "saved")) == sparsity_of(student)
    assert sparsity_of(student) == pytest.approx(0.5, abs=1e-4)


@pytest.fixture(scope="module")
def gradual(tmp_path_factory) -> TrainingJob:
    """A dense student that is pruned while it learns: 15 steps, the last weights go before the ninth."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("gradual")
    loss = DistillSettings(hidden_weight=0.0)
    teacher, data = write_teacher(folder / "teacher", layers=1), write_data(folder / "data")
    settings = PruneSettings(
        method="magnitude", schedule="cubic", sparsity=0.8, schedule_end=0.5, mask_steps=3,
        epochs=3, batch_size=8, learning_rate=3e-3, checkpoint_steps=2,
    )  # fmt: skip
    arguments = distillation_arguments(
        student=teacher,
        data=data,
        teacher_outputs=ask_teacher(folder / "storage", teacher, data, loss, [0]),
        loss=loss,
        max_length=32,
        student_layers=[0],
    )
    return TrainingJob(make_trainable, settings, 0, folder / "whole", arguments, task="text-classification")


@pytest.fixture
def watched(monkeypatch) -> list[float]:
    """The sparsity after each step."""
    found, after_step = [], DistillationTrainable.after_step

    def watch(trainable):
        after_step(trainable)
        found.append(sparsity_of(trainable.student))

    monkeypatch.setattr(DistillationTrainable, "after_step", watch)
    return found


def test_a_gradual_mask_follows_the_cubic_schedule_and_is_held_between_its_steps(gradual, watched):
    model = load_model(gradual.arguments["student"])
    total = sum(model.get_submodule(name).weight.numel() for name in linear_names(model))
    run(gradual)
    schedule = cubic_schedule(gradual.settings, 15)
    assert (schedule.start, schedule.end) == (0, 8)
    wanted = [schedule.sparsity(step) for step in (0, 0, 0, 3, 3, 3, 6, 6, *[8] * 7)]
    assert watched == pytest.approx(wanted, abs=2 / total)
    assert watched[-1] == pytest.approx(0.8, abs=1 / total)
    best = read_result(gradual).best
    assert sparsity_of(load_model(best)) == pytest.approx(0.8, abs=1 / total)  # not the dense one it began with


@pytest.mark.parametrize("steps", [5, 12])
def test_a_resumed_run_has_the_mask_and_the_weights_of_an_undisturbed_one(gradual, monkeypatch, steps):
    run(gradual)
    job = dataclasses.replace(gradual, workdir=gradual.workdir.with_name(f"stopped-{steps}"))
    made, after_step = [], DistillationTrainable.after_step

    def stop(trainable):
        after_step(trainable)
        made.append(1)
        if len(made) == steps:
            raise KeyboardInterrupt

    monkeypatch.setattr(DistillationTrainable, "after_step", stop)
    with pytest.raises(KeyboardInterrupt):
        run(job)
    monkeypatch.undo()
    assert list(job.workdir.glob("resume-*"))
    run(job)
    assert read_result(job).curves == read_result(gradual).curves
    weights = [(read_result(each).best / "model.safetensors").read_bytes() for each in (job, gradual)]
    assert weights[0] == weights[1]


def _worker(job: TrainingJob, rank: int) -> None:
    """One of two workers; it leaves a file of its mask behind."""

    def close(trainable):
        masks = [trainable.student.get_submodule(name).weight == 0 for name in linear_names(trainable.student)]
        (job.workdir.parent / f"mask-{rank}").write_bytes(b"".join(mask.numpy().tobytes() for mask in masks))

    DistillationTrainable.close = close
    store = dist.FileStore(str(job.workdir.parent / "store"), 2)
    try:
        dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
        run(job, rank, 2)
    except Exception:  # noqa: BLE001 - whatever it is, the test shows it
        (job.workdir.parent / f"error-{rank}").write_text(traceback.format_exc())
        os._exit(1)
    os._exit(0)  # as a test's process has more to end than its child


def test_workers_grow_the_same_mask(gradual, tmp_path):
    job = dataclasses.replace(gradual, workdir=tmp_path / "shared")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_worker, args=(job, rank)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    told = "".join(error.read_text() for error in tmp_path.glob("error-*"))
    assert [worker.exitcode for worker in workers] == [0, 0], told
    masks = [np.frombuffer((tmp_path / f"mask-{rank}").read_bytes(), bool) for rank in range(2)]
    assert np.array_equal(*masks)
    assert masks[0].mean() == pytest.approx(0.8, abs=1e-3)


def test_a_mask_never_gives_a_weight_back():
    model = tiny("bert")
    modifier = GradualMagnitude(PruneSettings(method="magnitude", schedule="cubic", sparsity=0.6, mask_steps=1))
    modifier.begin(model)
    gone = {name: torch.zeros_like(model.get_submodule(name).weight, dtype=torch.bool) for name in linear_names(model)}
    torch.manual_seed(0)
    for step in range(10):
        modifier.before_step(step, 10)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        modifier.after_step()
        for name, before in gone.items():
            now = model.get_submodule(name).weight == 0
            assert now[before].all()
            gone[name] = now
    assert modifier.settled(10, 10)
    assert not modifier.settled(5, 10)
    assert sparsity_of(model) == pytest.approx(0.6, abs=1e-3)
