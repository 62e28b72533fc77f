"""Perturbed copies."""

import torch

from hone.tasks.model.checkpoints.checkpoint import load_tokenizer
from hone.tasks.model.teacher.augment import NEIGHBOURS, augment, word_neighbours
from tests.tiny import BAD, GOOD, write_encoder

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
TEXT = " ".join(WORDS)
TEXTS = [TEXT, "a b", "single", ""]


def is_run(found, words):
    """Whether the words found are a run of the text's, some of them masked."""
    runs = (words[start : start + len(found)] for start in range(len(words)))
    return any(len(r) == len(found) and all(a in (b, "[MASK]") for a, b in zip(found, r, strict=True)) for r in runs)


def test_the_same_seed_gives_the_same_copies_and_another_seed_others():
    assert augment(TEXTS, 3, 7, "[MASK]") == augment(TEXTS, 3, 7, "[MASK]")
    assert augment(TEXTS, 3, 7, "[MASK]") != augment(TEXTS, 3, 8, "[MASK]")


def test_more_copies_only_add_to_fewer():
    assert augment(TEXTS, 4, 7, "[MASK]")[: 2 * len(TEXTS)] == augment(TEXTS, 2, 7, "[MASK]")


def test_no_copies_of_a_text_is_no_text():
    assert augment(TEXTS, 0, 7, "[MASK]") == []


def test_a_copy_is_a_run_of_the_texts_words_or_two_runs_joined():
    for copy in augment([TEXT] * 300, 1, 0, "[MASK]"):
        found = copy.split()
        splits = (is_run(found[:place], WORDS) and is_run(found[place:], WORDS) for place in range(len(found)))
        assert is_run(found, WORDS) or any(splits)


def test_a_join_takes_its_second_piece_from_another_text():
    copies = augment([TEXT, "A B C D E F"], 400, 0)[::2]
    mixed = [copy for copy in copies if set(copy.split()) & set("ABCDEF")]
    assert 0.06 < len(mixed) / len(copies) < 0.14  # one in five is joined, half of them with the other text
    assert all(copy.split()[0] in WORDS for copy in mixed)


def test_one_word_in_twenty_is_masked_and_half_of_the_copies_are_whole():
    copies = [copy.split() for copy in augment([TEXT] * 4000, 1, 0, "[MASK]")]
    masked = sum(copy.count("[MASK]") for copy in copies) / sum(map(len, copies))
    assert 0.045 < masked < 0.055
    assert 0.5 < sum(is_run(copy, WORDS) and len(copy) == 10 for copy in copies) / len(copies) < 0.6


def test_a_tokenizer_without_mask_gets_no_masked_words():
    assert set(" ".join(augment([TEXT] * 100, 1, 0, None)).split()) == set(WORDS)


def test_words_are_replaced_by_their_neighbours_only():
    neighbours = {"one": ["uno", "eins"], "two": ["due"]}
    copies = [copy.split() for copy in augment([TEXT] * 2000, 1, 0, None, neighbours)]
    words = [word for copy in copies for word in copy]
    assert set(words) == {*WORDS, "uno", "eins", "due"}
    share = words.count("due") / (words.count("due") + words.count("two"))
    assert 0.12 < share < 0.2  # one in five, one in ten where two pieces are joined
    assert 0.4 < words.count("uno") / (words.count("uno") + words.count("eins")) < 0.6


def test_texts_of_one_word_or_none_stay_as_they_are_unless_joined():
    assert set(augment([""], 50, 3)) == {""}
    assert set(augment(["single"], 50, 3)) == {"single", "single single"}


def test_neighbours_are_the_words_whose_embeddings_point_the_same_way(tmp_path):
    tokenizer = load_tokenizer(write_encoder(tmp_path / "encoder"))
    embeddings = torch.randn(len(tokenizer), 8, generator=torch.Generator().manual_seed(0)) * 0.1
    for place, words in enumerate((GOOD, BAD)):
        for strength, word in enumerate(words, start=1):
            embeddings[tokenizer.convert_tokens_to_ids(word), place] += strength
    found = word_neighbours(tokenizer, embeddings, [" ".join([*GOOD, *BAD]), "filming the unknowable Ω a"])
    assert set(found["superb"][:5]) == set(GOOD) - {"superb"}
    assert set(found["dull"][:5]) == set(BAD) - {"dull"}
    assert "filming" not in found  # two tokens
    assert "Ω" not in found
    assert all(word not in near and len(near) <= NEIGHBOURS for word, near in found.items())


def test_texts_without_a_known_word_have_no_neighbours(tmp_path):
    tokenizer = load_tokenizer(write_encoder(tmp_path / "encoder"))
    assert word_neighbours(tokenizer, torch.zeros(len(tokenizer), 4), ["", "Ω"]) == {}
