"""The vocabulary trimmed to the task."""

import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hone.tasks.errors import ModelError
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer, save_model
from hone.tasks.model.text import Rows, make_batch, tokenize
from hone.tasks.prune.tokenizer_trimming import keep_tokens, merges_for, token_ids, tokens_to_keep
from hone.tasks.prune.vocabulary import trim_vocabulary
from tests.prune.tokenizers_to_trim import CORPUS, KINDS, SEEN, UNSEEN, encoder_for


def epoch_rows(texts, pairs=None):
    return Rows(list(texts), pairs, np.zeros(len(texts), np.int64))


def words_of(tokenizer, text):
    return tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])


def specification_of(tokenizer):
    return json.loads(tokenizer.backend_tokenizer.to_str())


@pytest.mark.parametrize("kind", KINDS)
def test_the_training_texts_keep_their_tokens(kind):
    tokenizer = KINDS[kind]()
    trimmed = trim_vocabulary(encoder_for(tokenizer), tokenizer, epoch_rows(SEEN), 64, 0)
    assert len(trimmed) < len(tokenizer)
    for text in SEEN:
        assert words_of(trimmed, text) == words_of(tokenizer, text)


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_answers_the_training_texts_as_before(kind):
    tokenizer = KINDS[kind]()
    model, rows = encoder_for(tokenizer), epoch_rows(SEEN)

    def answer(tokenizer):
        batch = make_batch(tokenize(tokenizer, rows, 64), np.arange(3), tokenizer.pad_token_id, "cpu")
        inputs = {name: batch[name] for name in tokenizer.model_input_names}
        with torch.no_grad():
            return model(**inputs).logits

    before = answer(tokenizer)
    trimmed = trim_vocabulary(model, tokenizer, rows, 64, 0)
    assert model.get_input_embeddings().num_embeddings == model.config.vocab_size == len(trimmed)
    assert torch.allclose(answer(trimmed), before, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_unseen_words_fall_back_to_shorter_pieces_that_spell_them(kind):
    tokenizer = KINDS[kind]()
    trimmed = trim_vocabulary(encoder_for(tokenizer), tokenizer, epoch_rows(SEEN), 64, 0)
    for text in UNSEEN:
        before, after = words_of(tokenizer, text), words_of(trimmed, text)
        if tokenizer.unk_token not in before:
            assert tokenizer.unk_token not in after
            spelt = ["".join(tokens).replace("##", "") for tokens in (before, after)]
            assert spelt[0] == spelt[1]
        assert len(after) >= len(before)
    assert any(words_of(tokenizer, text) != words_of(trimmed, text) for text in UNSEEN)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trimmed_tokenizer_and_model_round_trip(kind, tmp_path):
    tokenizer = KINDS[kind]()
    model = encoder_for(tokenizer)
    trimmed = trim_vocabulary(model, tokenizer, epoch_rows(SEEN), 64, 5)
    save_model(model, trimmed, tmp_path / "trimmed")
    loaded = load_tokenizer(tmp_path / "trimmed")
    for text in [*SEEN, *UNSEEN, *CORPUS]:
        assert loaded(text)["input_ids"] == trimmed(text)["input_ids"]
    assert loaded(SEEN[0], SEEN[1]) == trimmed(SEEN[0], SEEN[1])
    weight = load_model(tmp_path / "trimmed").get_input_embeddings().weight
    assert torch.equal(weight, model.get_input_embeddings().weight)


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_keep_their_names_and_padding_its_embedding(kind):
    tokenizer = KINDS[kind]()
    model = encoder_for(tokenizer)
    trimmed = trim_vocabulary(model, tokenizer, epoch_rows(SEEN), 64, 0)
    assert trimmed.special_tokens_map == tokenizer.special_tokens_map
    assert model.config.pad_token_id == trimmed.pad_token_id == model.get_input_embeddings().padding_idx
    masked = f"the {tokenizer.mask_token} film"
    assert [words_of(each, masked).count(tokenizer.mask_token) for each in (tokenizer, trimmed)] == [1, 1]
    if kind != "WordPiece":  # positions are counted from the padding's id
        assert trimmed.pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize("kind", KINDS)
def test_extra_tokens_are_the_first_that_were_not_kept_anyway(kind):
    tokenizer = KINDS[kind]()
    specification = specification_of(tokenizer)
    seen = set(tokenizer(SEEN[0])["input_ids"])
    without, more = (tokens_to_keep(specification, seen, [], extra) for extra in (0, 7))
    added = sorted(set(more) - set(without))
    assert len(added) >= 7  # a BPE adds what its tokens are merged from
    assert set(added[:1]) == {min(set(token_ids(specification).values()) - set(without))}
    assert tokens_to_keep(specification, seen, [], 10_000) == sorted(token_ids(specification).values())


@pytest.mark.parametrize("kind", KINDS)
def test_keeping_everything_is_the_identity(kind):
    specification = specification_of(KINDS[kind]())
    assert keep_tokens(specification, sorted(token_ids(specification).values())) == specification


def test_pairs_keep_their_tokens_too():
    tokenizer = KINDS["WordPiece"]()
    rows = epoch_rows(SEEN, pairs=["casting musicals", "dull", "stale scenes"])
    trimmed = trim_vocabulary(encoder_for(tokenizer), tokenizer, rows, 64, 0)
    before, after = (tokenize(each, rows, 64) for each in (tokenizer, trimmed))
    assert np.array_equal(before.offsets, after.offsets)
    assert np.array_equal(before.type_ids, after.type_ids)
    assert "musicals" in "".join(words_of(trimmed, "casting musicals"))


def bert_like(pieces):
    tokenizer = Tokenizer(models.WordPiece({piece: index for index, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def test_an_unknown_word_of_the_training_texts_stays_unknown():
    """Without its first pieces «abx» would be cut as «a» «##bx», which another text keeps."""
    tokenizer = bert_like(["[PAD]", "[UNK]", "[MASK]", "a", "b", "ab", "##b", "##bx"])
    rows = epoch_rows(["abx", "b##bx".replace("#", ""), "b a"])
    assert words_of(tokenizer, "abx") == ["[UNK]"]
    trimmed = trim_vocabulary(encoder_for(tokenizer), tokenizer, rows, 16, 0)
    assert words_of(trimmed, "abx") == ["[UNK]"]
    assert words_of(trimmed, "bbx") == ["b", "##bx"]


def test_fillers_of_the_pretrained_vocabulary_are_not_extra_tokens():
    tokenizer = bert_like(["[PAD]", "[UNK]", "[MASK]", "[unused0]", "[unused1]", "word", "other", "third"])
    seen = {tokenizer.convert_tokens_to_ids("other")}
    assert tokens_to_keep(specification_of(tokenizer), seen, [], 1) == [0, 1, 2, 5, 6]


def test_merges_on_the_way_to_a_kept_token_stay():
    merges = [("l", "o"), ("lo", "w"), ("e", "r"), ("low", "er"), ("n", "e"), ("ne", "w")]
    pieces = [*"lowern", *("".join(merge) for merge in merges)]
    model = models.BPE({piece: index for index, piece in enumerate(pieces)}, merges)
    specification = json.loads(Tokenizer(model).to_str())
    kept = tokens_to_keep(specification, {pieces.index("lower")}, [], 0)
    assert merges_for(specification, set(kept)) == {("l", "o"), ("lo", "w"), ("e", "r"), ("low", "er")}
    assert [pieces[index] for index in kept] == [*"lowern", "lo", "low", "er", "lower"]
    trimmed = Tokenizer.from_str(json.dumps(keep_tokens(specification, kept)))
    assert trimmed.encode("lower").tokens == ["lower"]
    assert trimmed.encode("newer").tokens == ["n", "e", "w", "er"]


WORDS = some.text(alphabet="abcß ", min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    texts=some.lists(WORDS, min_size=1, max_size=6),
    pieces=some.sets(some.text(alphabet="abc", min_size=2, max_size=4), max_size=12),
    inner=some.sets(some.text(alphabet="abcß", min_size=1, max_size=4), max_size=12),
)
def test_wordpiece_keeps_the_tokens_of_any_texts(texts, pieces, inner):
    vocabulary = ["[PAD]", "[UNK]", "[MASK]", *"abc", *sorted(pieces), *(f"##{piece}" for piece in sorted(inner))]
    tokenizer = bert_like(vocabulary)
    trimmed = trim_vocabulary(encoder_for(tokenizer), tokenizer, epoch_rows(texts), 32, 0)
    for text in texts:
        assert words_of(trimmed, text) == words_of(tokenizer, text)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=some.lists(some.text(alphabet="abcd ", min_size=1, max_size=12), min_size=1, max_size=6), draw=some.data())
def test_bpe_keeps_the_tokens_of_any_texts(texts, draw):
    pieces, merges = [*"abcd"], []
    for _ in range(draw.draw(some.integers(0, 12))):
        pair = (draw.draw(some.sampled_from(pieces)), draw.draw(some.sampled_from(pieces)))
        if pair not in merges and "".join(pair) not in pieces and len("".join(pair)) <= 6:
            merges.append(pair)
            pieces.append("".join(pair))
    model = models.BPE({piece: index for index, piece in enumerate(pieces)}, merges)
    whole = Tokenizer(model)
    whole.pre_tokenizer = pre_tokenizers.Whitespace()
    specification = json.loads(whole.to_str())
    seen = {index for text in texts for index in whole.encode(text).ids}
    trimmed = Tokenizer.from_str(json.dumps(keep_tokens(specification, tokens_to_keep(specification, seen, [], 0))))
    for text in texts:
        assert trimmed.encode(text).tokens == whole.encode(text).tokens


def test_a_tokenizer_of_another_kind_is_named():
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "a": 2}, unk_token="[UNK]"))
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    with pytest.raises(ModelError, match=r"is a WordLevel, .* can trim WordPiece, BPE, Unigram: set prune.vocab"):
        trim_vocabulary(encoder_for(wrapped), wrapped, epoch_rows(["a"]), 8, 0)


def test_a_bpe_that_marks_the_ends_of_words_is_refused():
    tokenizer = Tokenizer(models.BPE({"[PAD]": 0, "a</w>": 1}, [], end_of_word_suffix="</w>"))
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]")
    with pytest.raises(ModelError, match=r"a BPE with a prefix or suffix on its pieces"):
        trim_vocabulary(encoder_for(wrapped), wrapped, epoch_rows(["a"]), 8, 0)


def test_texts_that_would_be_cut_differently_are_refused(monkeypatch):
    from hone.tasks.prune import vocabulary

    tokenizer = KINDS["WordPiece"]()
    only_fallback = set(tokenizer.all_special_ids) | {
        index for piece, index in tokenizer.get_vocab().items() if len(piece.removeprefix("##")) == 1
    }
    monkeypatch.setattr(vocabulary, "tokens_to_keep", lambda *_: sorted(only_fallback))
    with pytest.raises(ModelError, match=r"trimmed to \d+ tokens the tokenizer cuts training texts differently"):
        trim_vocabulary(encoder_for(tokenizer), tokenizer, epoch_rows(SEEN), 64, 0)
