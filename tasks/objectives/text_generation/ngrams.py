"""How much of the test split's text stands in the training split word for word: what a model may know by heart.

A run of 13 words, in lower case and without punctuation, counts as seen where training has it too. Words and not a
tokenizer's tokens, so that the count belongs to the data and is the same for every model.

Source: Brown et al. 2020 (GPT-3), arXiv:2005.14165, appendix C.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

LENGTH = 13
WORD = re.compile(r"\w+")
FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that multiplying by it loses nothing of 64 bits."""
Hashes = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]


def shared_runs(train: Iterable[str], test: Sequence[str]) -> tuple[Counts, Counts]:
    """Of each test document [documents], the runs that stand in a training document, and all of its runs.

    The runs of the test split are held as 64 bits each, and training is read once, a document at a time, whatever its
    size. That two different runs have the same 64 bits is less likely than 1e-4 among ten million of each.
    """
    known: dict[str, int] = {}
    rows = [runs(text, known) for text in test]
    wanted = np.unique(np.concatenate([np.zeros(0, np.uint64), *rows]))
    seen = np.zeros(len(wanted), np.bool_)
    if len(wanted):
        for text in train:
            found = runs(text, known)
            places = np.minimum(np.searchsorted(wanted, found), len(wanted) - 1)
            seen[places[wanted[places] == found]] = True
    counts = [int(seen[np.searchsorted(wanted, row)].sum()) for row in rows]
    return np.array(counts, np.int64), np.array([len(row) for row in rows], np.int64)


def runs(text: str, known: dict[str, int]) -> Hashes:
    """A hash of each run of `LENGTH` words [runs]; none of a text of fewer words.

    Args:
        known: hashes of words, to which it adds.
    """
    values = np.fromiter((_hash(word, known) for word in WORD.findall(text.lower())), np.uint64)
    count = len(values) - LENGTH + 1
    if count <= 0:
        return np.zeros(0, np.uint64)
    result = np.zeros(count, np.uint64)
    for offset in range(LENGTH):  # a polynomial in 64 bits: the place of a word in the run counts
        result = result * FACTOR + values[offset : offset + count]
    return result


def _hash(word: str, known: dict[str, int]) -> int:
    if word not in known:
        known[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
    return known[word]
