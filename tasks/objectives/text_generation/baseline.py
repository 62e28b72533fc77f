"""What a language model has to beat: an n-gram model of the training text's bytes, which no tokenizer has a part in."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hone.tasks.words import words as words_of

if TYPE_CHECKING:
    from hone.tasks.message import Message

ORDER = 5
"""Bytes of the longest run that is counted: the next one and the four before it."""
MOST_BYTES = 8_000_000
"""Of training, the first documents: they stand in the order of their hashes, so that these are a fair sample. More of
them make runs of five bytes hardly any better known, and sorting them is all that the fit takes."""
BEGINNING = b"\xff" * (ORDER - 1)
"""Before each document: a byte that UTF-8 never has."""
WORDS = 10_000
MESSAGE_END = "\x03"
"""Behind each message of a conversation: ASCII's end of text, a byte of which the model is to tell the place too."""
Codes = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """How often each run of one length occurs, and how it goes on."""

    codes: Codes
    """Of the runs, sorted [runs]: their bytes as the digits of a number."""
    counts: Counts
    """[runs]."""

    def look_up(self, codes: Codes) -> Counts:
        """Counts of these runs [...]; 0 of those that do not occur."""
        if not len(self.codes):
            return np.zeros(len(codes), np.int64)
        places = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where(self.codes[places] == codes, self.counts[places], 0)


@dataclass(frozen=True)
class ByteNgrams:
    """Runs of 1 to `ORDER` bytes with their counts, and for each context how often and with how many bytes it goes on.

    Source: Witten and Bell 1991, IEEE Transactions on Information Theory 37 (method C), interpolated.
    """

    runs: tuple[Table, ...]
    followed: tuple[Table, ...]
    """How often each context is followed, by its length."""
    kinds: tuple[Table, ...]
    """By how many different bytes."""
    words: list[str]
    """The most frequent ones of training, in their order."""

    @property
    def parameters(self) -> int:
        """Counts that it has learned; those of contexts follow from them."""
        return sum(len(table.codes) for table in self.runs)

    @property
    def size_bytes(self) -> int:
        """The bytes of each run and four of its count: what a file of it could not do without."""
        return sum((length + 4) * len(table.codes) for length, table in enumerate(self.runs, start=1))

    def loss(self, text: str) -> float:
        """Negative log likelihood of a text in nats; each byte once, the first one after a beginning."""
        return float(-np.log(self.chances(text.encode())).sum())

    def answer_loss(self, messages: "Sequence[Message]") -> float:
        """Negative log likelihood in nats of the answers of a conversation that are learned, and of their ends."""
        losses = -np.log(self.chances(transcript(messages).encode()))
        sizes = [len(f"{message.content}{MESSAGE_END}".encode()) for message in messages]
        learned = np.repeat([message.learned for message in messages], sizes)
        return float(losses[learned].sum())

    def chances(self, document: bytes) -> npt.NDArray[np.float64]:
        """The probability of each byte of a document after those before it [bytes]."""
        stream = _stream([document])
        chance = np.full(len(stream) - len(BEGINNING), 1 / 256)
        for length in range(1, ORDER + 1):
            run = _codes(stream, length)
            context = run >> np.uint64(8)
            total = self.followed[length - 1].look_up(context)
            kinds = self.kinds[length - 1].look_up(context)
            found = self.runs[length - 1].look_up(run)
            chance = np.where(total > 0, (found + kinds * chance) / np.maximum(total + kinds, 1), chance)
        return np.asarray(chance)


def fit(texts: Sequence[str]) -> ByteNgrams:
    """Counts the runs of the training texts, as far as `MOST_BYTES` go."""
    taken: list[str] = []
    size = 0
    for text in texts:
        if taken and size + len(text.encode()) > MOST_BYTES:
            break
        taken.append(text)
        size += len(text.encode())
    counted = Counter(word for text in taken for word in words_of(text))
    stream = _stream([text.encode() for text in taken])
    inside = stream[len(BEGINNING) :] != BEGINNING[0]  # a beginning is a context and never what follows one
    runs, followed, kinds = [], [], []
    for length in range(1, ORDER + 1):
        codes, counts = np.unique(_codes(stream, length)[inside], return_counts=True)
        contexts, places = np.unique(codes >> np.uint64(8), return_inverse=True)
        runs.append(Table(codes, counts.astype(np.int64)))
        followed.append(Table(contexts, np.bincount(places, counts, len(contexts)).astype(np.int64)))
        kinds.append(Table(contexts, np.bincount(places, minlength=len(contexts)).astype(np.int64)))
    frequent = sorted(word for word, _count in counted.most_common(WORDS))
    return ByteNgrams(tuple(runs), tuple(followed), tuple(kinds), frequent or ["a"])


def transcript(messages: "Sequence[Message]") -> str:
    """A conversation as one text."""
    return "".join(f"{message.content}{MESSAGE_END}" for message in messages)


def _stream(documents: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """All bytes, with a beginning before each document."""
    return np.frombuffer(b"".join(BEGINNING + document for document in documents) or BEGINNING, np.uint8)


def _codes(stream: npt.NDArray[np.uint8], length: int) -> Codes:
    """The run of this length that ends at each byte after the first beginning."""
    count = len(stream) - len(BEGINNING)
    result = np.zeros(count, np.uint64)
    for back in range(length - 1, -1, -1):
        start = len(BEGINNING) - back
        result = (result << np.uint64(8)) | stream[start : start + count].astype(np.uint64)
    return result
