"""The one training loop: what a step computes, what is kept, and that a killed run ends as an undisturbed one."""

import copy
import dataclasses
import json
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
from torch import Tensor, nn

from tasks.contracts import Curve
from tasks.errors import DamagedArtifactError, HoneError, ModelError, TrainingError
from tasks.model import loop
from tasks.model.checkpoint import load_model
from tasks.model.events import read_events
from tasks.model.learner import TrainingJob, TrainingResult, warnings_of
from tasks.model.resume import has_point, read_point, unreadable
from tasks.model.text import bucketed_batches, make_batch, model_inputs
from tasks.train.classify import ClassificationLearner, make_learner
from tests.model.training_fixtures import make_interrupted, make_job


def finish(job: TrainingJob) -> TrainingResult:
    loop.run(job)
    result = loop.read_result(job)
    assert result is not None
    return result


def curve(result: TrainingResult, name: str) -> Curve:
    [found] = [one for one in result.curves if one.name == name]
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def undisturbed(folder: Path) -> TrainingResult:
    return finish(make_job(folder, "undisturbed"))


def test_a_tiny_encoder_learns_the_tiny_corpus(folder: Path) -> None:
    result = finish(make_job(folder, "learns", dropout=0.0, epochs=6, batch_size=8, learning_rate=3e-3))
    assert result.validation_accuracy > 0.9  # measured: 1.0
    losses = curve(result, "train_loss").values
    assert losses[-1] < 0.3 < losses[0]


def test_the_first_step_is_that_of_adamw_on_the_mean_loss(folder: Path) -> None:
    job = make_job(folder, "by-hand", dropout=0.0, epochs=1, warmup_fraction=0.0, max_grad_norm=1e9, weight_decay=0.0)
    learner = make_learner(job, torch.device("cpu"))
    rows = bucketed_batches(learner.train.lengths, 32, job.seed, 1)[0]
    batch = make_batch(learner.train, rows, 0, "cpu")
    expected = nn.functional.cross_entropy(learner.module.model(**model_inputs(batch)).logits, batch["labels"])
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
    learner = make_learner(make_job(folder), torch.device("cpu"))
    loop._recompute_activations(learner.module)
    passes: list[int] = []
    learner.module.model.bert.encoder.layer[0].register_forward_pre_hook(lambda *_: passes.append(1))
    learner.module.train()
    learner.module(make_batch(learner.train, np.arange(4), 0, "cpu"))["loss"].backward()
    assert len(passes) == 1
    inner: list[int] = []
    learner.module.model.bert.encoder.layer[0].intermediate.register_forward_pre_hook(lambda *_: inner.append(1))
    learner.module(make_batch(learner.train, np.arange(4), 0, "cpu"))["loss"].backward()
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

    class Watched(ClassificationLearner):
        def after_step(self) -> None:
            norms.append(1)

    def make(job: TrainingJob, device: torch.device) -> Watched:
        learner = Watched(**vars(make_learner(job, device)))
        for parameter in learner.module.parameters():
            parameter.register_hook(lambda gradient: gradient * 1e6)
        return learner

    real_clip, seen = nn.utils.clip_grad_norm_, []

    def clip(parameters: Any, limit: float) -> Tensor:
        parameters = list(parameters)
        before = real_clip(parameters, limit)
        after = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in parameters]))
        seen.append((float(before), float(after)))
        return before

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.utils, "clip_grad_norm_", clip)
        finish(dataclasses.replace(make_job(folder, "clipped", epochs=1, max_grad_norm=0.5), make_learner=make))
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


def killed_after(job: TrainingJob, steps: int) -> None:
    """Runs a job in a process that ends like one that was killed, in the middle of an epoch."""
    job = dataclasses.replace(job, make_learner=make_interrupted)
    os.environ["HONE_TEST_STEPS"] = str(steps)
    child = multiprocessing.get_context("fork").Process(target=loop.run, args=(job,))
    child.start()
    child.join()
    assert child.exitcode == 9


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
    assert (result.validation_accuracy, result.validation_loss) == (
        undisturbed.validation_accuracy,
        undisturbed.validation_loss,
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

    class Counted(ClassificationLearner):
        def after_step(self) -> None:
            steps.append(1)

    def make(job: TrainingJob, device: torch.device) -> Counted:
        return Counted(**vars(make_learner(job, device)))

    make.__module__, make.__qualname__ = make_learner.__module__, make_learner.__qualname__
    finish(dataclasses.replace(job, make_learner=make))
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


def test_without_epochs_the_model_is_measured_and_kept_as_it_came(folder: Path) -> None:
    job = make_job(folder, "untrained", epochs=0)
    learner = make_learner(job, torch.device("cpu"))
    result = finish(job)
    expected = learner.module.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in load_model(result.best).state_dict().items())
    batch = make_batch(learner.validation, np.arange(40), 0, "cpu")
    logits = learner.predict(batch)
    assert result.validation_accuracy == int((logits.argmax(1) == batch["labels"]).sum()) / 40
    loss = float(nn.functional.cross_entropy(logits.double(), batch["labels"]))
    assert result.validation_loss == pytest.approx(loss, abs=1e-6)


class Scripted(ClassificationLearner):
    """Answers validation as a script says: the share of right answers after each epoch, the surest ones first."""

    script: list[tuple[int, float]]

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        right, margin = self.script.pop(0)
        logits = torch.zeros(len(batch["labels"]), 2)
        for row, label in enumerate(batch["labels"].tolist()):
            logits[row, label if row < right else 1 - label] = margin
        return logits

    def save(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "left").write_text(str(len(self.script)))


def scripted(folder: Path, name: str, script: list[tuple[int, float]], **settings: Any) -> tuple[TrainingResult, list]:
    learners = []

    def make(job: TrainingJob, device: torch.device) -> Scripted:
        learner = Scripted(**vars(make_learner(job, device)))
        learner.script = copy.copy(script)
        learners.append(learner)
        return learner

    job = make_job(folder, name, epochs=len(script) - 1, **settings)
    return finish(dataclasses.replace(job, make_learner=make)), learners[0].script


def test_the_best_epoch_is_kept_and_ties_go_to_the_lower_loss(folder: Path) -> None:
    result, _ = scripted(folder, "ties", [(10, 1.0), (30, 1.0), (30, 2.0), (20, 1.0), (30, 1.0)])
    assert result.validation_accuracy == 30 / 40
    assert curve(result, "validation_accuracy").values == [0.25, 0.75, 0.75, 0.5, 0.75]
    losses = curve(result, "validation_loss").values
    assert losses[1] < losses[2]
    assert (result.best / "left").read_text() == "3"
    assert result.validation_loss == losses[1]


def test_the_model_as_it_came_is_kept_where_training_only_harms_it(folder: Path) -> None:
    result, _ = scripted(folder, "harmed", [(30, 1.0), (20, 1.0), (10, 1.0)])
    assert (result.best / "left").read_text() == "2"


def test_training_stops_after_patience_epochs_without_a_better_one(folder: Path) -> None:
    script = [(10, 1.0), (20, 1.0), (20, 0.5), (15, 1.0), (40, 1.0), (40, 1.0)]
    result, left = scripted(folder, "patient", script, patience=2)
    assert curve(result, "validation_accuracy").values == [0.25, 0.5, 0.5, 0.375]
    assert len(left) == 2


def test_patience_0_never_stops_early(folder: Path) -> None:
    result, left = scripted(folder, "endless", [(30, 1.0)] + [(10, 1.0)] * 4)
    assert left == []
    assert len(curve(result, "validation_accuracy").steps) == 5


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


def broken(value: float, at: int):  # type: ignore[no-untyped-def]
    def make(job: TrainingJob, device: torch.device) -> ClassificationLearner:
        learner = make_learner(job, device)
        forward, steps = learner.module.forward, []

        def spoilt(batch: dict[str, Tensor]) -> dict[str, Tensor]:
            steps.append(1)
            loss = forward(batch)["loss"]
            return {"loss": loss * value if len(steps) == at else loss}

        learner.module.forward = spoilt  # type: ignore[method-assign]
        return learner

    return make


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_an_error_with_its_step_and_a_way_out(folder: Path, value: float) -> None:
    job = dataclasses.replace(make_job(folder, f"loss-{value}"), make_learner=broken(value, at=4))
    message = (
        rf"the loss is {value} at step 4 of 15: lower learning_rate \(now 0\.002\).*precision to fp32 \(now fp32\)"
    )
    with pytest.raises(TrainingError, match=message):
        loop.run(job)
    assert loop.read_result(job) is None


@pytest.mark.parametrize(
    ("epochs", "told"), [(0, "the weights it starts from are not finite"), (1, "lower learning_r")]
)
def test_weights_that_are_not_finite_are_an_error_where_they_are_validated(
    folder: Path, epochs: int, told: str
) -> None:
    """The last step of an epoch may spoil them after its loss was finite."""

    def make(job: TrainingJob, device: torch.device) -> ClassificationLearner:
        learner = Spoilt(**vars(make_learner(job, device)))
        learner.left = epochs
        return learner

    class Spoilt(ClassificationLearner):
        left: int

        def predict(self, batch: dict[str, Tensor]) -> Tensor:
            self.left -= 1
            return super().predict(batch) * (float("nan") if self.left < 0 else 1)

    job = dataclasses.replace(make_job(folder, f"spoilt-{epochs}", epochs=1), make_learner=make)
    with pytest.raises(TrainingError, match=rf"the validation loss is nan after epoch {epochs} of 1: {told}"):
        loop.run(job)
    assert not epochs or loop.read_result(job) is None


def test_one_answer_to_every_row_is_told(folder: Path) -> None:
    class Stubborn(ClassificationLearner):
        def predict(self, batch: dict[str, Tensor]) -> Tensor:
            return torch.tensor([[0.0, 1.0]]).repeat(len(batch["labels"]), 1)

    job = make_job(folder, "stubborn", epochs=0)
    stubborn = dataclasses.replace(job, make_learner=lambda job, device: Stubborn(**vars(make_learner(job, device))))
    assert finish(stubborn).only_label == 1
    varied, _ = scripted(folder, "varied", [(30, 1.0)])
    assert varied.only_label == -1
    [warning] = warnings_of("the teacher", 1, ["negative", "positive"], 90)
    assert warning == "the teacher predicts 'positive' for all 90 validation rows"
    assert warnings_of("the teacher", -1, ["negative", "positive"], 90) == []


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
    module = make_learner(job, torch.device("cpu")).module
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


def test_data_without_rows_is_an_error(folder: Path) -> None:
    def make(job: TrainingJob, device: torch.device) -> ClassificationLearner:
        learner = make_learner(job, device)
        empty = dataclasses.replace(learner.train, offsets=np.zeros(1, np.int64), labels=np.zeros(0, np.int64))
        return dataclasses.replace(learner, train=empty)

    with pytest.raises(TrainingError, match=r"0 training rows and 40 validation rows: needs 1 of each"):
        loop.run(dataclasses.replace(make_job(folder, "empty"), make_learner=make))


def _worker(job: TrainingJob, rank: int, world_size: int, other: TrainingJob | None) -> None:
    store = dist.FileStore(str(job.workdir.parent / f"{job.workdir.name}.store"), world_size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size)
    try:
        loop.run(other if rank == 1 and other is not None else job, rank, world_size)
    except HoneError as error:
        (job.workdir / f"error-{rank}").write_text(f"{type(error).__name__}: {error}")
    os._exit(0)


def _refuse(job: TrainingJob, device: torch.device) -> ClassificationLearner:
    raise ModelError("this one cannot")


def _stumble(job: TrainingJob, device: torch.device) -> ClassificationLearner:
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
    run_workers(job, 2, dataclasses.replace(job, make_learner=make))
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


def test_the_result_is_plain_json(folder: Path, undisturbed: TrainingResult) -> None:
    content = json.loads((folder / "undisturbed" / "result.json").read_text())
    assert set(content) == {"job", "validation_accuracy", "validation_loss", "only_label"}
