"""Texts as hurried people write them: does the selected model bear it as well as the teacher does?"""

import random
import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace

from hone.configs.delivery import Perturbation
from hone.tasks.model.text import Rows
from hone.tasks.words import UNSPACED, is_unspaced

TYPOS = 0.1
"""Share of words with a typing error, one in each."""
_GO = re.compile(rf"(\s*)([{UNSPACED}]{{1,4}}|[^\s{UNSPACED}]+)")


def perturb(rows: Rows, how: Perturbation, seed: int) -> Rows:
    """The same rows with every text perturbed, the same way on every run."""
    rng = random.Random(f"{seed} {how}")
    if rows.tokens is not None:
        tokens = [_perturbed_words(words, how, rng) for words in rows.tokens]
        return replace(rows, tokens=tokens, texts=[" ".join(words) for words in tokens])
    change = PERTURBATIONS[how]
    if rows.spans is not None:  # answers have their places in a context, so the question alone is written otherwise
        return replace(rows, texts=[change(text, rng) or text for text in rows.texts])
    return replace(
        rows,
        texts=[change(text, rng) for text in rows.texts],
        pairs=None if rows.pairs is None else [change(text, rng) for text in rows.pairs],
    )


def typos(text: str, rng: random.Random) -> str:
    """Two letters swapped, one left out, doubled or hit beside, in a tenth of the words of four letters and more; where
    a script has no blanks, of the runs of four characters.

    Source: the error types of Damerau 1964.
    """
    return "".join(
        blanks + (_mistyped(word, rng) if len(word) > 3 and rng.random() < TYPOS else word)
        for blanks, word in _typed(text)
    ).strip()


def case(text: str, rng: random.Random) -> str:
    """All of it in capitals, none of it, or each word with a capital."""
    changed: str = rng.choice([str.upper, str.lower, str.title])(text)
    return changed


def punctuation(text: str, rng: random.Random) -> str:
    """Without any, or with an exclamation too many."""
    if rng.random() < 0.5:
        bare = " ".join("".join(" " if _is_punctuation(sign) else sign for sign in text).split())
        return bare or text
    return f"{text.rstrip('.!?。！？')}!!"


def _perturbed_words(words: Sequence[str], how: Perturbation, rng: random.Random) -> list[str]:
    """As many words, since each keeps its tag: so punctuation goes from the ends of words and is nowhere added, and a
    word that is nothing but signs stays."""
    if how == "case":
        change = rng.choice([str.upper, str.lower, str.title])
        return [change(word) for word in words]
    if how == "punctuation":
        return [word.strip(string.punctuation) or word for word in words]
    return [typos(word, rng) or word for word in words]


def _is_punctuation(sign: str) -> bool:
    return sign in string.punctuation or unicodedata.category(sign).startswith("P")


def _typed(text: str) -> list[tuple[str, str]]:
    """What is typed in one go, each with the blanks before it."""
    return _GO.findall(text)


def _mistyped(word: str, rng: random.Random) -> str:
    index = rng.randrange(len(word) - 1)
    beside = word if is_unspaced(word) else string.ascii_lowercase
    kinds: Sequence[Callable[[], str]] = (
        lambda: word[:index] + word[index + 1] + word[index] + word[index + 2 :],
        lambda: word[:index] + word[index + 1 :],
        lambda: word[:index] + word[index] + word[index:],
        lambda: word[:index] + rng.choice(beside) + word[index + 1 :],
    )
    return rng.choice(kinds)()


PERTURBATIONS: dict[Perturbation, Callable[[str, random.Random], str]] = {
    "typos": typos,
    "case": case,
    "punctuation": punctuation,
}
