"""What quantisation-aware training hands on lies on the integer grid, and the training itself does not."""

import shutil
from pathlib import Path

import pytest
import torch

from hone.configs.model import DistillSettings, QuantizeSettings
from hone.tasks.model.architectures.linears import linear_names
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer, save_model
from hone.tasks.model.text import make_batch, model_inputs
from hone.tasks.model.training.distillation import distillation_arguments
from hone.tasks.model.training.fake_quantization import attach, plan_for, read_plan, weight_grid
from hone.tasks.model.training.loop import read_result, run
from hone.tasks.model.training.trainable import TrainingJob
from hone.tasks.prune.magnitude import zero_below
from hone.tasks.quantize.trainable import make_trainable
from tests.model.teaching_fixtures import ask_teacher, write_data, write_teacher

LOSS = DistillSettings(hidden_weight=0.5)
KEPT = "bert.encoder.layer.1.output.dense"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    """A masked student that learns from a teacher of its own shape, with one layer kept in fp32."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("quantize")
    data, teacher = write_data(folder / "data"), write_teacher(folder / "teacher", layers=2)
    student = load_model(teacher)
    zero_below(student, 0.1)
    save_model(student, load_tokenizer(teacher), folder / "student")
    return TrainingJob(
        make_trainable=make_trainable,
        settings=QuantizeSettings(epochs=2, learning_rate=3e-3, batch_size=8),
        seed=0,
        workdir=folder / "work",
        arguments={
            **distillation_arguments(
                student=folder / "student",
                data=data,
                teacher_outputs=ask_teacher(folder / "storage", teacher, data, LOSS, [0, 1]),
                loss=LOSS,
                max_length=32,
                student_layers=[0, 1],
            ),
            "plan": plan_for(student, "dynamic", tables=True).excluding([KEPT]),
        },
        task="text-classification",
    )


@pytest.fixture(scope="module")
def trained(job: TrainingJob) -> Path:
    run(job)
    result = read_result(job)
    assert result is not None
    return result.best


def test_the_checkpoint_is_plain_with_its_plan_beside_it(trained, job):
    assert read_plan(trained) == job.arguments["plan"]
    model = load_model(trained)
    assert all(type(model.get_submodule(name)) is torch.nn.Linear for name in linear_names(model))
    assert sorted(path.name for path in trained.iterdir() if path.suffix in (".safetensors", ".bin")) == [
        "model.safetensors"
    ]


def test_quantising_the_checkpoint_again_gives_the_weights_it_has(trained):
    model, plan = load_model(trained), read_plan(trained)
    for name in (*plan.linears, *plan.tables):
        weight = model.get_submodule(name).weight.detach()
        integers, scale = weight_grid(weight)
        assert torch.allclose(integers * scale[:, None], weight, rtol=2.4e-7, atol=0), name


def test_a_layer_that_is_kept_is_not_rounded(trained):
    weight = load_model(trained).get_submodule(KEPT).weight.detach()
    integers, scale = weight_grid(weight)
    assert not torch.allclose(integers * scale[:, None], weight, atol=1e-5)


def test_what_a_mask_removed_stays_removed(trained, job):
    before, after = load_model(job.arguments["student"]), load_model(trained)
    zeros = 0
    for name in linear_names(before):
        mask = before.get_submodule(name).weight == 0
        zeros += int(mask.sum())
        assert not after.get_submodule(name).weight[mask].any()
    assert zeros > 5000
    assert not torch.equal(before.classifier.weight, after.classifier.weight)  # it did train


def test_the_learner_answers_with_its_rounding_on_and_its_checkpoint_answers_the_same(job, tmp_path):
    trainable = make_trainable(job, torch.device("cpu"))
    batch = make_batch(trainable.validation, torch.arange(8).numpy(), trainable.tokenizer.pad_token_id, "cpu")
    rounded = trainable.predict(batch).logits
    trainable.save(tmp_path / "saved")
    with torch.no_grad():
        plain = load_model(tmp_path / "saved")
        assert not torch.allclose(plain(**model_inputs(batch)).logits, rounded, atol=1e-6)
        again = attach(plain, read_plan(tmp_path / "saved"))(**model_inputs(batch)).logits
    assert torch.allclose(again, rounded, atol=1e-5)


def test_saving_leaves_the_weights_that_train_as_they_are(job, tmp_path):
    trainable = make_trainable(job, torch.device("cpu"))
    before = {name: weight.clone() for name, weight in trainable.student.state_dict().items()}
    trainable.save(tmp_path / "saved")
    assert all(torch.equal(weight, before[name]) for name, weight in trainable.student.state_dict().items())
    assert not torch.equal(load_model(tmp_path / "saved").classifier.weight, before["classifier.weight"])


def test_training_with_rounding_lowers_the_loss(job, trained):
    result = read_result(job)
    losses = next(curve.values for curve in result.curves if curve.name == "train_loss")
    assert losses[-1] < losses[0]


def test_a_run_that_starts_again_ends_with_the_same_weights(job, trained, tmp_path):
    other = TrainingJob(
        make_trainable, job.settings, job.seed, tmp_path / "work", job.arguments, task="text-classification"
    )
    shutil.copytree(job.workdir, other.workdir)
    (other.workdir / "result.json").unlink()
    for point in other.workdir.glob("resume-*"):
        shutil.rmtree(point)
    shutil.rmtree(other.workdir / "best")
    run(other)
    assert (other.workdir / "best" / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
