"""The cut, from folder to folder."""

import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

import hone.tasks.prune
import hone.tasks.prune.structured
import tests.prune
from hone.configs.model import DistillSettings, PruneSettings
from hone.tasks.model.architectures.layers import layer_modules
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.teacher.outputs import TeacherOutputs
from hone.tasks.model.text import make_batch, tokenize
from hone.tasks.model.training.distillation import distillation_arguments, make_trainable
from hone.tasks.model.training.projections import new_projections, read_projections, write_projections
from hone.tasks.model.training.trainable import TrainingJob
from hone.tasks.prune.importance import importance
from hone.tasks.prune.methods import METHODS
from hone.tasks.prune.prune_model import counted, draw_importance_rows, prune_model
from tests.model.teaching_fixtures import ask_teacher, write_data, write_teacher

LOSS = DistillSettings(augment=1)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("cut")
    write_teacher(folder / "teacher")
    write_teacher(folder / "narrow", seed=1, layers=2, hidden=24)
    write_data(folder / "data")
    return folder


def outputs(place: Path) -> Path:
    return ask_teacher(place / "storage", place / "teacher", place / "data", LOSS, [0, 1, 2])


def cut_to(place: Path, name: str, student: str = "teacher", layers=(0, 1, 2), **settings) -> tuple[Path, list[int]]:
    """Cuts the teacher, as its own student, or another one."""
    left = prune_model(
        place / student,
        place / name,
        outputs=outputs(place),
        settings=PruneSettings(**{"head_fraction": 0, "neuron_fraction": 0, **settings}),
        loss=LOSS,
        student_layers=list(layers),
        max_length=32,
        seed=0,
        on_progress=lambda done, total, note: None,
        task="text-classification",
    )
    return place / name, left


def test_every_method_of_the_settings_is_a_technique_with_a_file_and_tests():
    methods = set(get_args(PruneSettings.model_fields["method"].annotation)) - {"none"}
    assert methods == set(METHODS)
    folder = Path(hone.tasks.prune.__path__[0])
    for name in methods:
        for file in (folder / f"{name}.py", Path(tests.prune.__path__[0]) / f"test_{name}.py"):
            assert file.is_file(), f"the method '{name}' of the settings has its file and its tests under that name"


def test_cutting_nothing_away_keeps_every_weight(place):
    folder, left = cut_to(place, "whole")
    assert left == [0, 1, 2]
    before = load_model(place / "teacher").state_dict()
    assert all(torch.equal(value, before[name]) for name, value in load_model(folder).state_dict().items())


def test_what_is_counted_is_what_is_there(place):
    settings = {"layer_fraction": 0.34, "head_fraction": 0.5, "neuron_fraction": 0.5, "neuron_multiple": 8}
    folder, left = cut_to(place, "structured", vocabulary="seen", **settings)
    assert len(left) == 2
    model = load_model(folder)
    found = counted(model)
    assert found["heads"] == [2, 2]
    assert found["neurons"] == [32, 32]
    assert found["vocabulary"] == len(load_tokenizer(folder)) < len(load_tokenizer(place / "teacher"))
    assert layer_modules(model)[0].query.weight.shape == (16, 32)


def test_sparsity_is_counted_too(place):
    folder, left = cut_to(place, "sparse", method="magnitude", sparsity=0.75)
    assert left == [0, 1, 2]
    assert counted(load_model(folder))["sparsity"] == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize("settings", [{"head_fraction": 0.5, "neuron_fraction": 0.5}, {"method": "wanda"}])
def test_the_same_seed_cuts_the_same(place, settings):
    settings = {**settings, "importance_rows": 10}
    first, second = (cut_to(place, name, **settings)[0] for name in ("first", "second"))
    for path in sorted(first.iterdir()):
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_hidden_states_stay_aligned_with_the_teachers_after_trimming(place):
    """The ids are others; the tokens are the same, and an uncut student still has nothing to learn from itself."""
    folder, left = cut_to(place, "trimmed", vocabulary="seen")
    arguments = distillation_arguments(
        student=folder,
        data=place / "data",
        teacher_outputs=outputs(place),
        loss=LOSS,
        max_length=32,
        student_layers=left,
    )
    trainable = make_trainable(
        TrainingJob(make_trainable, LOSS, 0, place, arguments, task="text-classification"), torch.device("cpu")
    )
    trainable.module.eval()
    text = tokenize(load_tokenizer(place / "teacher"), TeacherOutputs(outputs(place)).rows(), 32)
    assert np.array_equal(trainable.train.offsets, text.offsets)
    assert not np.array_equal(trainable.train.ids, text.ids)
    found = trainable.module(make_batch(trainable.train, np.arange(0, 80, 3), trainable.tokenizer.pad_token_id, "cpu"))
    assert found["hidden_loss"].item() < 1e-3
    assert found["soft_loss"].item() < 1e-3


@pytest.fixture
def weighed(monkeypatch) -> list[torch.Tensor]:
    """The importance of the first layer's neurons, each time it is measured."""
    found = []

    def spy(*arguments):
        measured = importance(*arguments)
        found.append(measured.neurons[0])
        return measured

    monkeypatch.setattr(hone.tasks.prune.structured, "importance", spy)
    return found


def test_importance_counts_hidden_states_through_trained_projections_alone(place, weighed, monkeypatch):
    settings = {"neuron_fraction": 0.5, "neuron_multiple": 8}
    cut_to(place, "untrained", "narrow", (0, 2), **settings)
    monkeypatch.setattr("tests.prune.test_prune_model.LOSS", LOSS.model_copy(update={"hidden_weight": 0.0}))
    cut_to(place, "by-predictions", "narrow", (0, 2), **settings)
    monkeypatch.undo()
    assert torch.equal(weighed[0], weighed[1])


def test_importance_through_trained_projections_is_theirs_and_the_same_each_time(place, weighed):
    shutil.copytree(place / "narrow", place / "taught")
    student, teacher = load_model(place / "taught"), TeacherOutputs(outputs(place))
    trained = {
        name: weight * 3 for name, weight in new_projections(student, teacher, [0, 2], seed=5).state_dict().items()
    }
    settings = {"neuron_fraction": 0.5, "neuron_multiple": 8}
    cut_to(place, "untrained", "narrow", (0, 2), **settings)
    write_projections(trained, place / "taught")
    for name in ("one", "two"):
        cut_to(place, name, "taught", (0, 2), **settings)
    assert not torch.allclose(weighed[0], weighed[1])
    assert torch.equal(weighed[1], weighed[2])
    assert read_projections(place / "untrained") == {}
    kept = read_projections(place / "one")
    assert all(torch.equal(weight, trained[name]) for name, weight in kept.items())
    assert kept.keys() == trained.keys()
    folder, left = cut_to(place, "shallow", "taught", (0, 2), layer_fraction=0.5)
    [place_left] = [(0, 2).index(layer) for layer in left]
    assert torch.equal(read_projections(folder)["0.weight"], trained[f"{place_left}.weight"])
    load_model(folder)


def test_importance_is_weighed_on_labelled_rows_drawn_with_the_seed():
    labelled = np.array([True] * 4 + [False] * 4)
    assert draw_importance_rows(labelled, 100, 0).tolist() == [0, 1, 2, 3]
    drawn = draw_importance_rows(labelled, 2, 0)
    assert len(drawn) == 2
    assert drawn.max() <= 3
    assert drawn.tolist() == draw_importance_rows(labelled, 2, 0).tolist()
