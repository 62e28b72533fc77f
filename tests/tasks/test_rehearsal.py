"""What cannot be exported or served is found with one layer, before anything is trained; what can be, passes."""

from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from hone.configs.recipe import Recipe, parse_recipe
from hone.tasks import rehearsal
from hone.tasks.dry_run import dry_run
from hone.tasks.errors import ExportError, HoneError, ModelError
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.text import Rows
from tests import tiny
from tests.prune.encoders import tiny as tiny_encoder

TEXTS = ["the film is superb", "a dull story", "said"]


def recipe(encoder: Path, **sections: dict[str, object]) -> Recipe:
    model = {"source": str(encoder), "weights": "random", "max_length": 32}
    own = {"name": "tiny", "data": {"train": "a.csv"}, "model": model, "evaluate": {"cells": ["1x16"]}}
    return parse_recipe(own | sections)


def rows(*, pairs: bool = False) -> Rows:
    return Rows(TEXTS, TEXTS[::-1] if pairs else None, np.array([0, 1, 0]))


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return tiny.write_encoder(tmp_path / "encoder")


@pytest.fixture
def tokenizer(encoder: Path) -> PreTrainedTokenizerFast:
    return load_tokenizer(encoder)


def test_an_architecture_that_is_built_otherwise_goes_the_whole_way(
    encoder: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    model = tiny_encoder("modernbert")
    model.config.id2label, model.config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    rehearsal.rehearse(recipe(encoder), "modernbert", model, tokenizer, rows())


@pytest.mark.parametrize("scheme", ["dynamic", "static"])
def test_pairs_and_both_schemes_are_exported_and_served_with_one_layer(
    encoder: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = []
    exported = rehearsal.export_checkpoint

    def export(source: str, checkpoint: Path, *rest: object, **how: object) -> object:
        layers.append(load_model(checkpoint).config.num_hidden_layers)
        return exported(source, checkpoint, *rest, **how)

    monkeypatch.setattr(rehearsal, "export_checkpoint", export)
    asked = recipe(encoder, quantize={"scheme": scheme}, data={"train": "a.csv", "pair_column": "other"})
    dry_run(asked, rows(pairs=True), ["bad", "good"])
    assert layers == [1]


@pytest.mark.parametrize(
    ("failure", "told"),
    [(ExportError("tiny: no such operator"), "no such operator"), (RuntimeError("aten::strange"), "aten::strange")],
)
def test_what_the_exporter_cannot_do_is_told_before_training(
    encoder: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, told: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(rehearsal, "export_checkpoint", fail)
    with pytest.raises(HoneError, match=told) as raised:
        dry_run(recipe(encoder), rows(), ["bad", "good"])
    if not isinstance(failure, HoneError):
        assert "one layer, exported and served, does not work for this encoder" in str(raised.value)


def test_an_answer_that_is_not_finite_is_refused(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def logits(self, *_: object) -> np.ndarray:
            return np.full((3, 2), np.nan, np.float32)

    monkeypatch.setattr(rehearsal, "export_checkpoint", lambda *_, **__: None)
    monkeypatch.setattr(rehearsal, "deliver", lambda *_: None)
    monkeypatch.setattr(rehearsal, "Classifier", lambda _: Broken())
    with pytest.raises(ModelError, match="6 are not finite"):
        dry_run(recipe(encoder), rows(), ["bad", "good"])


@pytest.mark.parametrize("method", ["magnitude", "wanda"])
def test_a_pattern_that_does_not_fit_a_layer_is_refused_before_training(tmp_path: Path, method: str) -> None:
    encoder = tiny.write_encoder(tmp_path / "odd", layers=1, neurons=62)
    with pytest.raises(ModelError, match=r"'2:4'.*bert\.encoder\.layer\.0\.output\.dense \(62 inputs\): set prune"):
        dry_run(recipe(encoder, prune={"method": method, "pattern": "2:4"}), rows(), ["bad", "good"])
