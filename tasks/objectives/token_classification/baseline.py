"""What a model has to beat: each word gets the tag that it has most often in training."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from hone.tasks.objectives.token_classification.tags import OUTSIDE

RUNS = re.compile(r"(.)\1+")


@dataclass(frozen=True)
class MostFrequentTag:
    """Tags of words, looked up as they are written, then in lower case, then by their shape; O if all are new."""

    as_written: dict[str, str]
    in_lower_case: dict[str, str]
    by_shape: dict[str, str]

    @property
    def parameters(self) -> int:
        """Tags that it has learned."""
        return len(self.as_written) + len(self.in_lower_case) + len(self.by_shape)

    @property
    def size_bytes(self) -> int:
        """Its words and shapes as UTF-8 and a byte for each tag: what a file of it could not do without."""
        tables = (self.as_written, self.in_lower_case, self.by_shape)
        return sum(len(key.encode()) + 1 for table in tables for key in table) + self.parameters

    @property
    def words(self) -> list[str]:
        """That it knows, in their order."""
        return sorted(self.as_written)

    def predict(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """Tags of each sentence's words. They may break IOB2, as each word is looked up alone."""
        return [[self._tag(word) for word in words] for words in sentences]

    def _tag(self, word: str) -> str:
        return (
            self.as_written.get(word)
            or self.in_lower_case.get(word.lower())
            or self.by_shape.get(shape(word))
            or OUTSIDE
        )


def fit(sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]]) -> MostFrequentTag:
    """Learns the most frequent tags; of equally frequent ones, the first in alphabetical order."""
    written: defaultdict[str, Counter[str]] = defaultdict(Counter)
    lower: defaultdict[str, Counter[str]] = defaultdict(Counter)
    shapes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for words, marks in zip(sentences, tags, strict=True):
        for word, tag in zip(words, marks, strict=True):
            written[word][tag] += 1
            lower[word.lower()][tag] += 1
            shapes[shape(word)][tag] += 1
    return MostFrequentTag(_most_frequent(written), _most_frequent(lower), _most_frequent(shapes))


def shape(word: str) -> str:
    """How a word is written: `Xx` for Berlin, `X` for NATO, `d-d` for 10-12, and signs as they are."""
    kinds = ("X" if sign.isupper() else "d" if sign.isdecimal() else "x" if sign.isalpha() else sign for sign in word)
    return RUNS.sub(r"\1", "".join(kinds))


def _most_frequent(counts: dict[str, Counter[str]]) -> dict[str, str]:
    return {key: min(seen, key=lambda tag: (-seen[tag], tag)) for key, seen in counts.items()}
