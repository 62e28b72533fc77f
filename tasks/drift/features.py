"""What of a row is compared: its words, and what kind of row it is."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hone.tasks.label_value import one_spelling
from hone.tasks.words import is_unspaced
from hone.tasks.words import words as words_of

if TYPE_CHECKING:  # it needs torch
    from hone.tasks.model.text import Rows

WORDS = 200
NO_ENTITY = "no entity"
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text, in small letters and without punctuation."""
    result: list[str] = []
    for word in words_of(text.lower()):
        result += [word] if is_unspaced(word) else _WORD.findall(word)
    return result


def kinds(rows: "Rows", labels: Sequence[str]) -> list[str]:
    """The label of each row; of a sentence, the type of its first entity, as rows are what is drawn and compared.

    Args:
        labels: names by id of the labels, or of the tags.
    """
    names = [one_spelling(name) for name in labels]
    if rows.tags is None:
        return [names[label] for label in rows.labels]
    types = [name.partition("-")[2] for name in names]
    return [next((types[tag] for tag in tags if types[tag]), NO_ENTITY) for tags in rows.tags]


def frequent(rows: Sequence[Sequence[str]], count: int = WORDS) -> list[str]:
    """The words that occur most often; of equals the first by alphabet.

    Args:
        rows: the words of each row.
    """
    found = Counter(word for row in rows for word in row)
    return [word for word, _ in sorted(found.items(), key=lambda item: (-item[1], item[0]))[:count]]


def word_counts(rows: Sequence[Sequence[str]], vocabulary: Sequence[str]) -> npt.NDArray[np.int64]:
    """How often each word of the vocabulary, and last any other word, occurs in each row [rows, words + 1]."""
    column_of = {word: column for column, word in enumerate(vocabulary)}
    counts = np.zeros((len(rows), len(vocabulary) + 1), dtype=np.int64)
    for number, row in enumerate(rows):
        for word in row:
            counts[number, column_of.get(word, len(vocabulary))] += 1
    return counts


def unseen_shares(rows: Sequence[Sequence[str]], known: set[str]) -> npt.NDArray[np.float64]:
    """Share of each row's words that are not known [rows]; 0 of a row without words."""
    return np.array([sum(word not in known for word in row) / max(len(row), 1) for row in rows])
