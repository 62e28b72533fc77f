"""Questions through train, distill, prune and quantize: nothing but the data and the task differ."""

import json
from pathlib import Path

import pytest
from transformers import BertForQuestionAnswering

from hone.configs.recipe import Recipe, parse_recipe
from hone.flows.preflight import check_model
from hone.tasks import store
from hone.tasks.data.preview import preview
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.runtime.predict import Backend, answer, read
from hone.tasks.model.text import read_split
from hone.tasks.model.training.fake_quantization import read_plan
from hone.tasks.objectives.question_answering.answering import margins
from hone.tasks.objectives.question_answering.baseline import scores_of
from hone.tasks.objectives.question_answering.threshold import best_threshold
from tests.objectives.questions import write_squad
from tests.objectives.stages import Made, through_the_stages
from tests.tiny import write_encoder

pytestmark = pytest.mark.usefixtures("works_here")
LENGTH = 24


def recipe_of(folder: Path) -> Recipe:
    return parse_recipe(
        {
            "task": "question-answering",
            "data": {"train": str(folder / "all.json"), "context_column": "context"},
            "model": {"source": str(folder / "encoder"), "weights": "random", "max_length": LENGTH},
            "train": {"epochs": 6, "learning_rate": 5e-3, "batch_size": 16},
            "distill": {"augment": 1, "epochs": 3, "layer_count": 1, "learning_rate": 5e-3, "batch_size": 16},
            "prune": {"head_fraction": 0.5, "neuron_fraction": 0.5, "vocabulary": "seen", "epochs": 2,
                      "learning_rate": 5e-3},
            "quantize": {"epochs": 1, "max_sensitive_layers": 1},
            "evaluate": {"cells": ["1x16"]},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, works_here: None) -> Made:
    folder = tmp_path_factory.mktemp("qa")
    write_squad(folder / "all.json", 150)
    write_encoder(folder / "encoder", layers=2)
    return through_the_stages(recipe_of(folder), folder)


def test_every_stage_learns_to_answer(made: Made) -> None:
    assert min(made.scores("f1")) > 0.9, made.scores("f1")
    assert made.teacher.checkpoint.selected_by == "f1"
    assert made.teacher.checkpoint.warnings == []


def test_each_checkpoint_keeps_the_threshold_that_is_best_on_validation_as_it_answers(made: Made) -> None:
    validation = read_split(store.open_artifact(made.data.artifact), "validation")
    for stage in made.stages:
        folder = store.open_artifact(stage.checkpoint.artifact)
        assert isinstance(load_model(folder), BertForQuestionAnswering)
        threshold = json.loads((folder / "config.json").read_text())["no_answer_threshold"]
        assert abs(threshold) < 100
        form: Backend = "fake-quantised" if stage is made.rounded else "pytorch"
        reading = read(folder, validation, LENGTH)
        found = answer(folder, form, reading, batch_size=64, providers=["cpu"], threads=1)
        chosen, _f1 = best_threshold(margins(found), *scores_of(found, validation.pairs, validation.spans))
        assert threshold == pytest.approx(chosen, abs=1e-3)
    assert made.data.labels == ["answer", "no answer"]


def test_the_pruned_one_has_the_vocabulary_of_the_data_and_padding_sets_no_scale(made: Made) -> None:
    student, pruned = made.student.checkpoint, made.pruned.checkpoint
    assert pruned.notes["heads"] == [2]
    tokenizer = load_tokenizer(store.open_artifact(pruned.artifact))
    assert pruned.notes["vocabulary"] == len(tokenizer) < len(load_tokenizer(store.open_artifact(student.artifact)))
    plan = read_plan(store.open_artifact(made.rounded.checkpoint.artifact))
    assert plan.first_token == ()
    assert "qa_outputs" in {*plan.linears, *plan.kept}


def test_what_is_looked_at_before_a_run_goes_the_whole_way_with_one_layer(made: Made) -> None:
    seen = preview(made.recipe.data)
    assert seen.spans is not None
    assert set(seen.labels) == {"answer", "no answer"}
    assert "one layer exported and served" in check_model(made.recipe, seen)
