"""The student as a folder, whichever kind the settings ask for."""

import pytest
import torch

from hone.configs.model import DistillSettings, ModelSettings
from hone.tasks.distill.student import write_student
from hone.tasks.model.checkpoints.checkpoint import load_model
from tests.model.teaching_fixtures import write_data, write_teacher

COMMON = {
    "model": ModelSettings(source="unused", max_length=32),
    "labels": ["bad", "good"],
    "seed": 0,
    "task": "text-classification",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("write")
    write_teacher(folder / "teacher", layers=4)
    write_teacher(folder / "other", layers=2, hidden=16)
    write_data(folder / "data")
    return folder


def test_a_student_of_the_teachers_layers_is_matched_with_them(place):
    layers = write_student(
        place / "teacher", place / "data", place / "own", settings=DistillSettings(layers=[1, 3]), **COMMON
    )
    assert layers == [1, 3]
    assert load_model(place / "own").config.num_hidden_layers == 2


def test_another_encoder_is_matched_at_the_same_depth_and_knows_the_labels(place):
    settings = DistillSettings(student=str(place / "other"))
    layers = write_student(
        place / "teacher", place / "data", place / "s", settings=settings, other=place / "other", **COMMON
    )
    student = load_model(place / "s")
    assert layers == [1, 3]
    assert student.config.hidden_size == 16
    assert student.config.id2label == {0: "bad", 1: "good"}
