"""Sentences with tags through train, distill, prune and quantize: nothing but the data and the task differ."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForTokenClassification

from hone.configs.recipe import Recipe, parse_recipe
from hone.flows.preflight import check_model
from hone.tasks import store
from hone.tasks.data.preview import preview
from hone.tasks.model.architectures.linears import linear_names
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.text import make_batch, model_inputs, read_split
from hone.tasks.model.training.fake_quantization import read_plan
from hone.tasks.objectives.learning import learning
from tests.objectives.stages import Made, through_the_stages
from tests.tiny import BAD, FILLER, GOOD, write_encoder

pytestmark = pytest.mark.usefixtures("works_here")
TAGS = ["O", "B-bad", "I-bad", "B-good", "I-good"]
LENGTH = 16


def write_sentences(path: Path, count: int) -> Path:
    """One telling word is an entity, or two, of which the second tells that it is not the first; some sentences have
    more words than fit a window."""
    draw = random.Random(0)
    with path.open("w") as stream:
        for place in range(count):
            words, tags = [], []
            for _part in range(8 if place % 5 == 0 else 2):
                filler = draw.choices(FILLER, k=draw.randint(1, 4))
                kind, telling = draw.choice([("good", GOOD), ("bad", BAD)])
                entity = [draw.choice(telling[:3]), *draw.sample(telling[3:], draw.randint(0, 1))]
                words += [*filler, *entity]
                tags += [*["O"] * len(filler), f"B-{kind}", *[f"I-{kind}"] * (len(entity) - 1)]
            stream.write(json.dumps({"tokens": words, "tags": tags}) + "\n")
    return path


def recipe_of(folder: Path) -> Recipe:
    return parse_recipe(
        {
            "task": "token-classification",
            "data": {"train": str(folder / "all.jsonl"), "tokens_column": "tokens"},
            "model": {"source": str(folder / "encoder"), "weights": "random", "max_length": LENGTH},
            "train": {"epochs": 4, "learning_rate": 5e-3, "batch_size": 16},
            "distill": {"augment": 1, "epochs": 2, "layer_count": 1, "learning_rate": 5e-3, "batch_size": 16},
            "prune": {"head_fraction": 0.5, "neuron_fraction": 0.5, "vocabulary": "seen", "epochs": 2,
                      "learning_rate": 5e-3},
            "quantize": {"epochs": 1, "max_sensitive_layers": 1},
            "export": {"providers": ["cuda", "cpu"]},
            "evaluate": {"cells": ["1x16"]},
        }
    )  # fmt: skip


@dataclass
class Tokenized(Made):
    rows: list[int]
    """Of each tokenizing."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, works_here: None) -> Tokenized:
    folder = tmp_path_factory.mktemp("ner")
    write_sentences(folder / "all.jsonl", 150)
    write_encoder(folder / "encoder", layers=2)
    objective, tokenized = type(learning("token-classification")), list[int]()
    encode = objective.encode

    def spy(self: Any, tokenizer: Any, rows: Any, max_length: int) -> Any:
        tokenized.append(len(rows))
        return encode(self, tokenizer, rows, max_length)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objective, "encode", spy)
        stages = through_the_stages(recipe_of(folder), folder)
    return Tokenized(**vars(stages), rows=tokenized)


def test_every_stage_learns_to_find_the_entities(made: Made) -> None:
    assert min(made.scores("f1")) > 0.9, made.scores("f1")
    assert made.teacher.checkpoint.selected_by == "f1"
    assert made.teacher.checkpoint.warnings == []


def test_each_split_is_tokenized_once_for_each_vocabulary(made: Tokenized) -> None:
    folder = store.open_artifact(made.data.artifact)
    train, validation = (len(read_split(folder, split)) for split in ("train", "validation"))
    copies = 2 * train  # with one perturbed copy of each; and what sets the ranges of eight bits are no copies
    whole, trimmed = [train, validation, copies], [copies, validation, train]
    assert made.rows == [*whole, *trimmed]


def test_each_checkpoint_is_a_tagger_that_names_its_tags(made: Made) -> None:
    for stage in (made.teacher, made.student, made.pruned, made.rounded):
        folder = store.open_artifact(stage.checkpoint.artifact)
        model = load_model(folder)
        assert isinstance(model, BertForTokenClassification)
        assert [model.config.id2label[place] for place in range(5)] == TAGS == made.data.labels


def test_the_student_has_a_layer_the_pruned_one_half_of_its_heads_and_the_vocabulary_of_the_data(made: Made) -> None:
    student, pruned = made.student.checkpoint, made.pruned.checkpoint
    assert student.notes["teacher_layers"] == [1]
    assert pruned.notes["heads"] == [2]
    assert pruned.notes["neurons"] == [32]
    tokenizer = load_tokenizer(store.open_artifact(pruned.artifact))
    assert pruned.notes["vocabulary"] == len(tokenizer) < len(load_tokenizer(store.open_artifact(student.artifact)))
    rows = read_split(store.open_artifact(made.data.artifact), "train")
    ids = learning("token-classification").encode(tokenizer, rows, LENGTH).ids
    assert tokenizer.unk_token_id not in ids


def test_no_layer_is_narrowed_to_the_first_token_and_padding_sets_no_scale(made: Made) -> None:
    folder = store.open_artifact(made.rounded.checkpoint.artifact)
    plan = read_plan(folder)
    assert plan.scheme == "static"
    assert plan.first_token == ()
    assert set(plan.linears) | set(plan.kept) >= set(linear_names(load_model(folder)))
    assert "classifier" in {*plan.linears, *plan.kept}
    notes = made.rounded.checkpoint.notes
    assert {"f1_lost", "divergence", "p_value"} == set(notes["sensitivity"]["classifier"])
    assert abs(notes["ptq_validation_f1"] - notes["fp32_validation_f1"]) < 0.2


def test_what_is_looked_at_before_a_run_goes_the_whole_way_with_one_layer(made: Made) -> None:
    seen = preview(made.recipe.data)
    assert set(seen.labels) == {"bad", "good"}
    assert seen.label_names == TAGS
    assert check_model(made.recipe, seen).startswith("bert of 2 layers")


def test_padding_changes_no_answer_of_the_rounded_model(made: Made) -> None:
    folder = store.open_artifact(made.rounded.checkpoint.artifact)
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    rows = read_split(store.open_artifact(made.data.artifact), "test")
    text = learning("token-classification").encode(tokenizer, rows, LENGTH)
    shortest, longest = int(text.lengths.argmin()), int(text.lengths.argmax())
    length = int(text.lengths[shortest])
    with torch.no_grad():
        alone, among = (
            model(**model_inputs(make_batch(text, np.array(places), tokenizer.pad_token_id, "cpu"))).logits[0]
            for places in ([shortest], [shortest, longest])
        )
    assert len(among) > length
    assert torch.allclose(alone, among[:length], atol=1e-5)
