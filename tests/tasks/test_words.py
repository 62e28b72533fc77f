"""Words in scripts with and without blanks, and what is made of them."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from hone.tasks.drift.features import words as drift_words
from hone.tasks.evaluate.perturb import PERTURBATIONS
from hone.tasks.model.teacher.augment import augment
from hone.tasks.model.text import Rows, word_counts
from hone.tasks.words import pieces, words

CHINESE = "这部电影的故事非常感人，演员的表演也很出色，音乐同样令人难忘。"
JAPANESE = "このレストランの料理はとても美味しかったです。また行きたい！"
THAI = "อาหารอร่อยมากและพนักงานบริการดี"
TEXTS = [CHINESE, JAPANESE, THAI, "a plain text of English words, with 电影 in it"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it's a  good film.", ["it's", "a", "good", "film."]),
        ("电影很好。", ["电", "影", "很", "好", "。"]),
        ("カメラを買う", ["カメラ", "を", "買", "う"]),
        ("ดีมาก", ["ดี", "มา", "ก"]),
        ("เก่ง", ["เก่", "ง"]),
        ("iPhone很贵 ok", ["iPhone", "很", "贵", "ok"]),
        ("한국어 문장", ["한국어", "문장"]),  # Korean has blanks
        ("", []),
    ],
)
def test_words_are_found_in_every_script(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_joined_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


def test_lengths_are_counted_in_words() -> None:
    assert word_counts(Rows(["电影很好", "a b"], None, np.zeros(2))).tolist() == [4, 2]
    assert drift_words("电影很好, ดี OK!") == ["电", "影", "很", "好", "ดี", "ok"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_mask_or_a_neighbour_takes_the_place_of_a_word_and_not_of_the_text(text: str) -> None:
    neighbours = {word: ["X"] for word in words(text)}
    copies = augment([text] * 200, 1, 0, "[MASK]", neighbours)
    assert any("[MASK]" in copy for copy in copies)
    assert len(set(copies)) > 100
    kept = [sum(word in text for word in words(copy)) for copy in copies]
    assert min(kept) >= 1
    if text == CHINESE:
        assert not any(" " in copy.replace(" ", "", 1) for copy in copies)  # but one where two texts join


@pytest.mark.parametrize("text", TEXTS[:3])
def test_typing_errors_are_few_and_far_between(text: str) -> None:
    perturb: Callable[[str, random.Random], str] = PERTURBATIONS["typos"]
    rng = random.Random(0)
    changed = [perturb(text, rng) for _ in range(100)]
    assert 30 < sum(one != text for one in changed) < 95
    assert all(abs(len(one) - len(text)) <= 8 for one in changed)
    assert not any(letter.isascii() and letter.isalpha() for one in changed for letter in one)


def test_punctuation_of_other_scripts_is_punctuation() -> None:
    rng = random.Random(0)
    found = {PERTURBATIONS["punctuation"]("很好，真的。", rng) for _ in range(20)}
    assert found == {"很好 真的", "很好，真的!!"}
