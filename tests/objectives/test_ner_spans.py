"""Entities as the field's pipelines answer them, and the words of a text."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import TokenClassificationPipeline

from hone.tasks.objectives.token_classification.spans import find_spans, join_words, split_words
from hone.tasks.words import pieces

TAGS = ["O", "B-a", "I-a", "B-b", "I-b"]


def sure(*tags: str) -> np.ndarray:
    """Probabilities in which these tags have 0.6."""
    rows = np.full((len(tags), len(TAGS)), 0.1)
    rows[range(len(tags)), [TAGS.index(tag) for tag in tags]] = 0.6
    return rows


def test_an_entity_is_its_text_its_place_its_type_and_its_mean_score() -> None:
    text, words = join_words(["in", "New", "York", "Ann"])
    chances = sure("O", "B-a", "I-a", "B-b")
    chances[2, 2] = 0.8
    assert find_spans(text, words, chances, TAGS) == [
        {"start": 3, "end": 11, "text": "New York", "type": "a", "score": pytest.approx(0.7)},
        {"start": 12, "end": 15, "text": "Ann", "type": "b", "score": pytest.approx(0.6)},
    ]


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=10), st.randoms(use_true_random=False))
def test_spans_are_those_of_the_transformers_pipeline(best: list[int], chance: object) -> None:
    text, words = join_words(["ab"] * len(best))
    chances = sure(*(TAGS[tag] for tag in best))
    chances[range(len(best)), best] += np.array([chance.random() for _ in best]) / 3  # type: ignore[attr-defined]
    one = object.__new__(TokenClassificationPipeline)
    one.tokenizer = SimpleNamespace(convert_tokens_to_string=" ".join)
    one.model = SimpleNamespace(config=SimpleNamespace(id2label=dict(enumerate(TAGS))))
    tokens = [
        {"scores": row, "word": "ab", "start": start, "end": end, "is_subword": False, "index": place}
        for place, (row, (start, end)) in enumerate(zip(chances, words, strict=True))
    ]
    groups = [group for group in one.aggregate(tokens, "first") if group["entity_group"] != "O"] if tokens else []
    assert find_spans(text, words, chances, TAGS) == [
        {
            "start": group["start"],
            "end": group["end"],
            "text": group["word"],
            "type": group["entity_group"],
            "score": pytest.approx(group["score"]),
        }
        for group in groups
    ]


def test_words_of_another_number_than_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="1 words and probabilities of 2"):
        find_spans("a", [(0, 1)], sure("O", "O"), TAGS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ann's in  New York.", ["Ann", "'s", "in", "New", "York", "."]),
        ('"@paul (U.S.) said: #yes!!', ['"', "@paul", "(", "U.S", ".", ")", "said", ":", "#yes", "!", "!"]),
        ("see http://t.co/x, $5 or a-b", ["see", "http://t.co/x", ",", "$5", "or", "a-b"]),
        ("😀😀 @ हिन्दी", ["😀", "😀", "@", "हिन्दी"]),
        (" ... ", [".", ".", "."]),
        ("", []),
    ],
)
def test_words_of_a_text(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in split_words(text, pieces)] == words


@settings(deadline=None)
@given(st.text("ab.,@#$'’s😀किの東サ \n", max_size=12))
def test_words_hold_every_character_that_is_no_blank_once_and_in_order(text: str) -> None:
    spans = split_words(text, pieces)
    assert "".join(text[start:end] for start, end in spans) == "".join(text.split())
    assert all(start < end for start, end in spans)
    assert all(end <= later for (_start, end), (later, _last) in pairwise(spans))
