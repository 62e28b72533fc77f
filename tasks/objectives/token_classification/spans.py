"""Entities of a text as the field's pipelines answer them, and the words of a text that nobody has split.

The answers are those of transformers' `TokenClassificationPipeline` with `aggregation_strategy="first"`: a word has the
tag and the score of its first subword, an `I-` continues an entity of its type or else begins one, and an entity's
score is the mean of its words'. Strict scoring is stricter: there an `I-` begins nothing.
"""

import unicodedata
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.token_classification.tags import OUTSIDE, split_tag
from hone.tasks.words import pieces

KEPT = "@#$"
POSSESSIVE = ("'s", "’s")


class Span(TypedDict):
    """One entity: `text` is what stands from character `start` to `end` (exclusive)."""

    start: int
    end: int
    text: str
    type: str
    score: float


def find_spans(
    text: str, words: Sequence[tuple[int, int]], probabilities: npt.NDArray[np.floating], tags: Sequence[str]
) -> list[Span]:
    """The entities of a text.

    Args:
        words: first character and end of each word.
        probabilities: of each word's tags [words, tags].
        tags: their names, in IOB2.

    Raises:
        ValueError: when there are not as many words as rows of probabilities.
    """
    if len(words) != len(probabilities):
        raise ValueError(f"{len(words)} words and probabilities of {len(probabilities)}")
    spans: list[Span] = []
    scores: list[list[float]] = []
    before = ""
    for (start, end), row in zip(words, probabilities, strict=True):
        best = int(row.argmax())
        prefix, kind = split_tag(tags[best])
        if prefix != OUTSIDE:
            if prefix == "I" and kind == before:
                spans[-1]["end"] = end
                scores[-1].append(float(row[best]))
            else:
                spans.append(Span(start=start, end=end, text="", type=kind, score=0.0))
                scores.append([float(row[best])])
        before = kind
    for span, several in zip(spans, scores, strict=True):
        span["text"] = text[span["start"] : span["end"]]
        span["score"] = sum(several) / len(several)
    return spans


def join_words(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """The text of words that are split already, with blanks between them, and where each one stands in it."""
    ends = np.cumsum([len(word) + 1 for word in words]).tolist()
    return " ".join(words), [(end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True)]


def split_words(text: str) -> list[tuple[int, int]]:
    """First character and end of each word of a text: between blanks, with the signs at a word's ends as words of their
    own, one by one, and so an English `'s`. @, # and $ stay with the word that they begin, as do signs within one."""
    found: list[tuple[int, int]] = []
    place = 0
    for piece in pieces(text):
        end = place + len(piece)
        first, last = end - len(piece.lstrip()), end
        place = end
        while first < last and _is_sign(text[first]) and text[first] not in KEPT:
            found.append((first, first + 1))
            first += 1
        while last > first and _is_sign(text[last - 1]):
            last -= 1
        if last - first > 2 and text[last - 2 : last] in POSSESSIVE:
            found += [(first, last - 2), (last - 2, last)]
        elif last > first:
            found.append((first, last))
        found += [(sign, sign + 1) for sign in range(last, end)]
    return found


def _is_sign(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"
