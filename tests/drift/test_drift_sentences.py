"""Drift of sentences with tags: what a tagger is asked and answers, row by row as of texts."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from hone.configs.recipe import parse_recipe
from hone.tasks import store
from hone.tasks.data.task import prepare_data
from hone.tasks.drift.embed import write_embedder
from hone.tasks.drift.features import kinds
from hone.tasks.drift.measure import measure
from hone.tasks.drift.task import _sample
from hone.tasks.model.runtime.model_under_test import registered
from hone.tasks.model.runtime.predict import predict
from hone.tasks.model.text import Rows, read_split
from hone.tasks.stage import RunContext
from tests.export.taggers import LABELS, MAX_LENGTH, export_tagger, write_conll, write_sentences, write_tagger


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tagger")
    return export_tagger(write_tagger(folder / "checkpoint"), folder / "exported")


def test_the_last_layer_makes_the_logits_of_each_word_of_its_embedding(tagger: Path, tmp_path: Path) -> None:
    rows = Rows(["a film", "the cast"], None, np.full(2, -1), tokens=[["a", "film"], ["the", "cast", "is", "dull"]])
    asked = {"max_length": MAX_LENGTH, "batch_size": 2, "providers": ["cpu"], "threads": 1}
    logits = predict(registered(tagger), rows, **asked)
    vectors = predict(registered(write_embedder(tagger, tmp_path / "embedder")), rows, **asked)
    saved = {w.name: numpy_helper.to_array(w) for w in onnx.load(tagger / "model.onnx").graph.initializer}
    bias = saved["classifier.bias"]
    weight = next(w for w in saved.values() if w.shape == (vectors.values.shape[1], len(bias)))
    np.testing.assert_allclose(vectors.values @ weight + bias, logits.values, atol=1e-4)
    np.testing.assert_allclose(logits.means()[1], logits.values[2:].mean(axis=0), atol=1e-6)


def test_a_sentence_is_of_the_kind_of_its_first_entity() -> None:
    tags = [np.array(several) for several in ([0, 3, 4, 1], [0, 0], [1, 2])]
    rows = Rows(["", "", ""], None, np.full(3, -1), tokens=[["a"] * 4, ["a"] * 2, ["a"] * 2], tags=tags)
    assert kinds(rows, LABELS) == ["place", "no entity", "person"]


def test_new_sentences_are_held_against_those_that_the_champion_learned_from(tagger: Path, tmp_path: Path) -> None:
    sides = []
    for seed in (0, 1):
        file = write_conll(tmp_path / f"{seed}.conll", write_sentences(60, seed=seed, longest=12))
        tree = {
            "task": "token-classification",
            "data": {"train": str(file), "tokens_column": "tokens"},
            "model": {"source": "a", "max_length": MAX_LENGTH},
        }
        context = RunContext(recipe=parse_recipe(tree), output=str(tmp_path), storage=str(tmp_path / str(seed)))
        data = prepare_data.fn(context)
        sides.append((context, data, store.open_artifact(data.artifact)))
    embedder = write_embedder(tagger, tmp_path / "embedder")
    seen = [read_split(sides[0][2], split) for split in ("train", "validation")]
    before = _sample(*sides[0], [], tagger, embedder)
    now = _sample(*sides[1], seen, tagger, embedder)
    assert before.answers is not None
    assert before.embeddings is not None
    assert len(before.answers) == len(before.embeddings) == sides[0][1].rows["test"]
    assert set(before.labels) == {"person", "place", "no entity"}
    parts = measure(before, now, {"the"}, 0.2, seed=0, objective="token-classification")
    assert [part.name for part in parts] == ["labels", "length", "vocabulary", "unseen_words", "embeddings", "answers"]
    assert not any(part.drifted for part in parts if part.name in ("labels", "length", "vocabulary"))
