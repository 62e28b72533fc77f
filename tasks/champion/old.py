"""Which rows of the champion's own test split are fair to a newer model."""

from collections.abc import Sequence

from tasks.model.text import Rows


def unlearned(test: Rows, learned: Sequence[Rows]) -> list[int]:
    """Places of the rows whose text, or pair of texts, is in none of the splits that the newer model learned from: new
    data often hold the old, and are split anew."""
    known = {row for rows in learned for row in _texts(rows)}
    return [place for place, row in enumerate(_texts(test)) if row not in known]


def _texts(rows: Rows) -> list[tuple[str, str]]:
    pairs = rows.pairs or [""] * len(rows)
    return list(zip(rows.texts, pairs, strict=True))
