"""Texts as hurried people write them: does the selected model bear it as well as the teacher does?"""

import random
import string
from collections.abc import Callable, Sequence

from configs.delivery import Perturbation
from tasks.model.text import Rows

TYPOS = 0.1
"""Share of words with a typing error, one in each."""


def spoil(rows: Rows, how: Perturbation, seed: int) -> Rows:
    """The same rows with every text spoilt, the same way on every run."""
    chance = random.Random(f"{seed} {how}")
    change = SPOILERS[how]
    return Rows(
        texts=[change(text, chance) for text in rows.texts],
        pairs=None if rows.pairs is None else [change(text, chance) for text in rows.pairs],
        labels=rows.labels,
        slices=rows.slices,
    )


def typos(text: str, chance: random.Random) -> str:
    """Two letters swapped, one left out, doubled or hit beside, in a tenth of the words of four letters and more.

    Source: the error types of Damerau 1964.
    """
    return " ".join(
        _mistyped(word, chance) if len(word) > 3 and chance.random() < TYPOS else word for word in text.split()
    )


def case(text: str, chance: random.Random) -> str:
    """All of it in capitals, none of it, or each word with a capital."""
    changed: str = chance.choice([str.upper, str.lower, str.title])(text)
    return changed


def punctuation(text: str, chance: random.Random) -> str:
    """Without any, or with an exclamation too many."""
    if chance.random() < 0.5:
        bare = " ".join(text.translate({ord(sign): " " for sign in string.punctuation}).split())
        return bare or text
    return f"{text.rstrip('.!?')}!!"


def _mistyped(word: str, chance: random.Random) -> str:
    place = chance.randrange(len(word) - 1)
    kinds: Sequence[Callable[[], str]] = (
        lambda: word[:place] + word[place + 1] + word[place] + word[place + 2 :],
        lambda: word[:place] + word[place + 1 :],
        lambda: word[:place] + word[place] + word[place:],
        lambda: word[:place] + chance.choice(string.ascii_lowercase) + word[place + 1 :],
    )
    return chance.choice(kinds)()


SPOILERS: dict[Perturbation, Callable[[str, random.Random], str]] = {
    "typos": typos,
    "case": case,
    "punctuation": punctuation,
}
