"""Answers counted as SQuAD's own script counts them: in lower case, without punctuation and articles, word by word.

Source: Rajpurkar et al., SQuAD, 2016, section 6.1; the script is `evaluate-v2.0.py`.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    """An answer as it is compared."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(answer: str, true: Sequence[str]) -> float:
    """1 where the answer is one of the true ones, else 0.

    Args:
        true: none where the right answer is that there is none, which is the empty text.
    """
    return float(max(normalize(answer) == normalize(one) for one in _counted(true)))


def f1(answer: str, true: Sequence[str]) -> float:
    """Harmonic mean of precision and recall of the words, the best over the true answers; of no answer, 1 where there
    is none and 0 where there is.

    Args:
        true: as of `exact_match`.
    """
    return max(_f1(normalize(answer).split(), normalize(one).split()) for one in _counted(true))


def _counted(true: Sequence[str]) -> list[str]:
    """The true answers of which something is left to be compared."""
    return [one for one in true if normalize(one)] or [""]


def _f1(answer: list[str], true: list[str]) -> float:
    if not answer or not true:
        return float(answer == true)
    common = sum((Counter(answer) & Counter(true)).values())
    if not common:
        return 0.0
    precision, recall = common / len(answer), common / len(true)
    return 2 * precision * recall / (precision + recall)
