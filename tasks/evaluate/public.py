"""Texts that anybody may read, for golden requests that are to hold nothing of the data: the first article of the
Universal Declaration of Human Rights in six languages, its words drawn anew for each request."""

import numpy as np

from hone.tasks.model.text import Rows

ARTICLE = (
    "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and "
    "should act towards one another in a spirit of brotherhood. Alle Menschen sind frei und gleich an W\u00fcrde und "
    "Rechten geboren. Todos los seres humanos nacen libres e iguales en dignidad y derechos. Tous les \u00eatres "
    "humains naissent libres et \u00e9gaux en dignit\u00e9 et en droits. \u0412\u0441\u0435 \u043b\u044e\u0434\u0438 "
    "\u0440\u043e\u0436\u0434\u0430\u044e\u0442\u0441\u044f. \u4eba\u4eba\u751f\u800c\u81ea\u7531"
)
"""In every script that it knows, as tokenizers differ there."""


def public_rows(
    count: int, pairs: bool, max_length: int, seed: int, words: bool = False, questions: bool = False
) -> Rows:
    """Distinct requests of 1 word to twice as many as the model reads tokens; every fourth is longer than it reads.

    Args:
        words: whether the rows are lists of words, which the model tags.
        questions: whether the first text of a pair is a question about the second one.
    """
    draw, known = np.random.default_rng(seed), ARTICLE.split()

    def text(index: int) -> str:
        least, most = (max_length, 2 * max_length) if index % 4 == 3 else (1, max(2, max_length // 2))
        return " ".join(draw.choice(known, size=int(draw.integers(least, most + 1))))

    texts = [text(index) for index in range(count)]
    others = [text(index + 1) for index in range(count)] if pairs else None
    tokens = [text.split() for text in texts] if words else None
    spans: list[list[tuple[int, int]]] | None = [[] for _ in texts] if questions else None
    return Rows(texts, others, np.zeros(count, np.int64), tokens=tokens, spans=spans)
