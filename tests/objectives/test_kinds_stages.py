"""Texts with several labels, and with a number, through train, distill, prune, quantize and export: nothing but
data.labels differs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification

from hone.configs.recipe import Recipe
from hone.flows.preflight import check_model
from hone.tasks import store
from hone.tasks.contracts import PreparedData
from hone.tasks.data.preview import preview
from hone.tasks.data.task import prepare_data
from hone.tasks.distill.task import distill_student
from hone.tasks.export.task import export_models
from hone.tasks.model.checkpoint import load_model
from hone.tasks.model.runtime import Classifier
from hone.tasks.model.text import read_split
from hone.tasks.prune.task import prune_student
from hone.tasks.quantize.task import quantize_student
from hone.tasks.stage import RunContext
from hone.tasks.train.task import train_teacher
from tests.objectives.kinds import LABELS, recipe_of

pytestmark = pytest.mark.usefixtures("trains_here")


@dataclass
class Made:
    recipe: Recipe
    data: PreparedData
    stages: list[Any]
    exported: list[Path]

    def scores(self, name: str) -> list[float]:
        return [made.checkpoint.validation_metrics[name] for made in self.stages]


def made_by(folder: Path, kind: str) -> Made:
    torch.set_num_threads(1)
    context = RunContext(recipe=recipe_of(folder, kind), output=str(folder / "out"), storage=str(folder / "storage"))
    data = prepare_data.fn(context)
    teacher = train_teacher.fn(context, data)
    student = distill_student.fn(context, data, teacher)
    pruned = prune_student.fn(context, data, teacher, student)
    rounded = quantize_student.fn(context, data, teacher, pruned)
    exported = export_models.fn(context, teacher, student, pruned, rounded)
    folders = [store.open_artifact(model.artifact) for model in exported.models]
    return Made(context.recipe, data, [teacher, student, pruned, rounded], folders)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, trains_here: None) -> Made:
    return made_by(tmp_path_factory.mktemp("several"), "several")


@pytest.fixture(scope="module")
def number(tmp_path_factory: pytest.TempPathFactory, trains_here: None) -> Made:
    return made_by(tmp_path_factory.mktemp("number"), "number")


def test_every_stage_learns_to_give_the_labels(several: Made) -> None:
    assert min(several.scores("micro_f1")) > 0.9, several.scores("micro_f1")
    assert [made.checkpoint.selected_by for made in several.stages] == ["micro_f1"] * 4
    assert several.stages[0].checkpoint.warnings == []
    assert several.data.labels == LABELS


def test_every_stage_learns_to_answer_the_number(number: Made) -> None:
    assert min(number.scores("r2")) > 0.8, number.scores("r2")
    assert number.stages[0].checkpoint.warnings == []
    assert number.data.labels == ["label"]


def test_each_folder_says_in_transformers_words_what_it_answers(several: Made, number: Made) -> None:
    for made, problem, outputs in ((several, "multi_label_classification", 3), (number, "regression", 1)):
        folders = [*made.exported, *(store.open_artifact(stage.checkpoint.artifact) for stage in made.stages)]
        for folder in folders:
            told = json.loads((folder / "config.json").read_text())
            assert (told["problem_type"], len(told["id2label"])) == (problem, outputs)
        assert isinstance(load_model(folders[-1]), BertForSequenceClassification)


def test_each_model_has_the_threshold_that_its_validation_chose_wherever_it_goes(several: Made) -> None:
    chosen = several.scores("threshold")
    for place, stage in enumerate(several.stages):
        folder = store.open_artifact(stage.checkpoint.artifact)
        for where in (folder, several.exported[place]):
            assert json.loads((where / "config.json").read_text())["threshold"] == chosen[place]


def test_what_was_exported_answers_labels_above_its_threshold_and_the_true_ones_mostly(several: Made) -> None:
    rows = read_split(store.open_artifact(several.data.artifact), "test")
    served = Classifier(several.exported[-1])
    right = 0
    for answer, flags in zip(served.answers(rows.texts), rows.labels, strict=True):
        given = {one["label"]: one["score"] for one in answer["labels"]}
        assert given == {name: p for name, p in answer["probabilities"].items() if p > served.threshold}
        right += given.keys() == {name for name, flag in zip(LABELS, flags, strict=True) if flag}
    assert right > 0.8 * len(rows)
    assert any(not answer["labels"] for answer in served.answers(rows.texts))


def test_what_was_exported_answers_a_number_near_the_true_one(number: Made) -> None:
    rows = read_split(store.open_artifact(number.data.artifact), "test")
    answers = np.array([answer["number"] for answer in Classifier(number.exported[-1]).answers(rows.texts)])
    assert rows.labels.dtype == np.float64
    assert np.mean((answers - rows.labels) ** 2) < 0.3 * rows.labels.var()


def test_what_is_looked_at_before_a_run_goes_the_whole_way_with_one_layer(several: Made, number: Made) -> None:
    for made in (several, number):
        assert check_model(made.recipe, preview(made.recipe.data)).startswith("bert of 2 layers")
