"""How a tagger of words learns, by hand and against the strict count of whole sentences."""

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast, RobertaConfig

from hone.configs.model import ModelSettings
from hone.tasks.model.checkpoints.checkpoint import load_pretrained, load_tokenizer, save_model
from hone.tasks.model.teacher.augment import augment_words
from hone.tasks.model.text import NO_TARGET, Rows, TokenizedText, make_batch
from hone.tasks.model.training.distillation import DistillationTrainable
from hone.tasks.objectives.learning import learning
from hone.tasks.objectives.token_classification.counts import entity_counts
from hone.tasks.objectives.token_classification.runs import count_entities
from hone.tasks.objectives.token_classification.tags import tag_names
from tests.prune.tokenizers_to_trim import bpe
from tests.tiny import write_encoder

TAGGER = learning("token-classification")
TAGS = tag_names(["loc", "per"])  # O, B-loc, I-loc, B-per, I-per
SENTENCES = st.lists(st.lists(st.tuples(*[st.integers(0, 4)] * 2), min_size=1, max_size=7), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    return load_tokenizer(write_encoder(tmp_path_factory.mktemp("encoder")))


def epoch_rows(sentences: list[list[str]], tags: list[list[int]] | None) -> Rows:
    return Rows(
        [" ".join(words) for words in sentences],
        None,
        np.full(len(sentences), -1),
        tokens=sentences,
        tags=None if tags is None else [np.array(several) for several in tags],
    )


def logits_for(predicted: list[list[int]], high: float = 20.0) -> SimpleNamespace:
    return SimpleNamespace(logits=high * torch.nn.functional.one_hot(torch.tensor(predicted), len(TAGS)).float())


@settings(deadline=None)
@given(SENTENCES)
def test_entities_in_tensors_are_those_of_the_strict_count(sentences: list[list[tuple[int, int]]]) -> None:
    sides = [[[word[side] for word in words] for words in sentences] for side in (0, 1)]
    named = [[[TAGS[tag] for tag in tags] for tags in several] for several in sides]
    expected = entity_counts(named[0], named[1], ["loc", "per"])
    rows = torch.tensor([row for row, words in enumerate(sentences) for _word in words])
    true, predicted = (torch.tensor([tag for tags in several for tag in tags]) for several in sides)
    found = count_entities(rows, true, predicted, len(sentences), 2)
    assert found.flatten(1).tolist() == expected.tolist()


def test_a_words_tag_is_at_its_first_subword_and_a_row_weighs_its_words(tokenizer: PreTrainedTokenizerFast) -> None:
    text = TAGGER.encode(tokenizer, epoch_rows([["the", "casts", "xy"], ["film"]], [[1, 2, 3], [4]]), 16)
    no = NO_TARGET
    assert text.labels.tolist() == [no, 1, 2, no, 3, no, no, no, 4, no]  # cast ##s, x ##y
    assert text.weights is not None
    assert text.weights.tolist() == [3, 1]
    with pytest.raises(ValueError, match="no words"):
        TAGGER.encode(tokenizer, Rows(["the film"], None, np.zeros(1)), 16)


def test_of_a_long_sentence_each_word_counts_in_one_window(tokenizer: PreTrainedTokenizerFast) -> None:
    tags = [[place % 5 for place in range(30)], [1]]
    text = TAGGER.encode(tokenizer, epoch_rows([["film", "cast", "plot"] * 10, ["the"]], tags), 12)
    assert text.sources is not None
    assert text.sources.tolist() == [0] * (len(text) - 1) + [1]
    assert len(text) > 3
    assert text.labels[text.labels >= 0].tolist() == tags[0] + tags[1]
    assert text.weights is not None
    assert text.weights.sum() == 31
    assert text.lengths.max() <= 12


def test_loss_and_teacher_count_where_words_are_answered_for_alone() -> None:
    logits = torch.zeros(2, 4, 5)
    logits[0, 1, 1] = math.log(6.0)  # p = 6 / 10
    labels = torch.tensor([[NO_TARGET, 1, 0, NO_TARGET], [NO_TARGET, -1, NO_TARGET, NO_TARGET]])
    output, batch = SimpleNamespace(logits=logits.requires_grad_()), {"labels": labels}
    loss = TAGGER.loss(output, batch)
    assert loss.tolist() == pytest.approx([-math.log(0.6) - math.log(0.2), 0])
    assert TAGGER.labelled(batch).tolist() == [True, False]
    loss.sum().backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum(dim=2).bool().tolist() == [[False, True, True, False], [False] * 4]

    theirs = TAGGER.targets(output, batch).detach().clone()
    assert TAGGER.distillation_loss(output, theirs, batch, 2.0).abs().max() < 1e-6
    theirs[:, 3] = torch.randn(5)  # no word's answer
    assert TAGGER.distillation_loss(output, theirs, batch, 2.0).abs().max() < 1e-6
    theirs[1, 1, 0] = 3.0  # a word that the teacher alone can tell
    apart = TAGGER.distillation_loss(output, theirs, batch, 2.0).tolist()
    assert apart[0] == pytest.approx(0, abs=1e-6)
    assert apart[1] > 0.1


def test_validation_by_hand_and_its_sums_over_batches_add_up() -> None:
    no = NO_TARGET
    labels = torch.tensor([[no, 1, 2, 0, no], [no, 3, no, 1, no]])  # loc of two words; per, a subword, loc
    output = logits_for([[0, 1, 2, 3, 0], [0, 3, 4, 0, 0]])  # the loc and a per that is none; the per, and no loc
    whole = TAGGER.validation(output, {"labels": labels})
    parts = [
        TAGGER.validation(SimpleNamespace(logits=output.logits[rows]), {"labels": labels[rows]})
        for rows in (slice(0, 1), slice(1, 2))
    ]
    assert torch.allclose(whole, parts[0] + parts[1])
    found = TAGGER.validation_metrics(whole.tolist())
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["loss"] == pytest.approx(2 * 20 / 5, abs=1e-6)  # two of five words are wrong, by 20 nats each
    assert TAGGER.degenerate(whole.tolist(), TAGS) == ""
    assert TAGGER.row_scores(output, {"labels": labels}).tolist() == [-1, -1]


def test_an_entity_over_the_border_of_two_windows_counts_by_its_part_in_the_first() -> None:
    labels = torch.tensor([[0, 3, NO_TARGET], [NO_TARGET, 4, 0]])  # B-per | I-per
    right = TAGGER.validation(logits_for([[0, 3, 0], [0, 4, 0]]), {"labels": labels}).tolist()
    half = TAGGER.validation(logits_for([[0, 3, 0], [0, 0, 0]]), {"labels": labels}).tolist()
    none = TAGGER.validation(logits_for([[0, 0, 0], [0, 4, 0]]), {"labels": labels}).tolist()
    assert [TAGGER.validation_metrics(sums)["f1"] for sums in (right, half, none)] == [1, 1, 0]


def test_one_tag_for_every_word_is_told() -> None:
    labels = torch.tensor([[0, 1, NO_TARGET], [0, 0, 3]])
    sums = TAGGER.validation(logits_for([[0, 0, 4], [0, 0, 0]]), {"labels": labels}).tolist()
    assert TAGGER.degenerate(sums, TAGS) == "predicts 'O' for all 5 words of the validation split"
    assert TAGGER.validation_metrics(sums)["f1"] == 0


def test_copies_of_sentences_keep_their_words_apart() -> None:
    sentences = [[f"w{place} x", "(", "film", ")", *["more"] * place] for place in range(40)]
    copies = augment_words(sentences, 2, 0, "[MASK]", {"film": ["movie"]})
    assert len(copies) == 80
    assert augment_words(sentences, 3, 0, "[MASK]", {"film": ["movie"]})[:80] == copies
    words = {word for several in copies for word in several}
    assert words <= {word for several in sentences for word in several} | {"movie", "[MASK]"}
    assert {"movie", "[MASK]", "w3 x"} <= words
    assert all(copies)


def test_a_mask_among_words_is_one_token_and_counts(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = epoch_rows([["the", "[MASK]", "casts"]], [[-1, -1, -1]])
    text = TAGGER.encode(tokenizer, rows, 16)
    assert tokenizer.convert_ids_to_tokens(text.ids.tolist()) == ["[CLS]", "the", "[MASK]", "cast", "##s", "[SEP]"]
    assert text.labelled.tolist() == rows.labelled.tolist() == [False]
    assert replace(rows, tags=[np.zeros(3)]).labelled.tolist() == [True]
    batch = make_batch(text, np.array([0]), 0, "cpu")
    assert (batch["labels"] == -1).sum() == 3
    assert batch["weights"].tolist() == [3]


@pytest.mark.parametrize("name", ["RobertaTokenizer", "PreTrainedTokenizerFast"])
def test_a_word_alone_is_read_as_inside_a_text(tmp_path: Path, name: str) -> None:
    encoder = bpe()
    encoder.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**written, "tokenizer_class": name}))
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    RobertaConfig(vocab_size=len(encoder), pad_token_id=1, **size).save_pretrained(tmp_path)
    settings = ModelSettings(source=str(tmp_path), weights="random", max_length=16)
    model, tokenizer = load_pretrained(settings, TAGS, 0, "token-classification")
    save_model(model, tokenizer, tmp_path / "saved")
    for reader in (tokenizer, load_tokenizer(tmp_path / "saved")):
        text = TAGGER.encode(reader, epoch_rows([["the", "film"]], None), 16)
        assert reader.convert_ids_to_tokens(text.ids.tolist()) == ["<s>", "\u0120the", "\u0120film", "</s>"]
    assert load_pretrained(settings, ["no", "yes"], 0, task="text-classification")[1].tokenize("the") == ["the"]


def test_each_epoch_has_every_window_of_the_sentences_and_as_many_of_their_copies() -> None:
    sources = np.array([0, 0, 1, 2, 3, 3, 4, 5, 5, 5])  # two sentences, and two copies of each
    rows = len(sources)
    text = TokenizedText(np.zeros(rows, np.int32), np.arange(rows + 1), None, np.zeros(rows), True, sources=sources)
    unused: Any = None
    trainable = DistillationTrainable(unused, unused, unused, text, text, texts=2)
    assert [trainable.epoch_rows(epoch).tolist() for epoch in (1, 2, 3)] == [
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 6, 7, 8],
        [0, 1, 2, 3, 4, 5],
    ]
    assert replace(trainable, texts=6).epoch_rows(4).tolist() == list(range(rows))
