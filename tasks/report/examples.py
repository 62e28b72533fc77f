"""Rows of the test split on which the selected model and the teacher part: a person learns more from ten of them than
from one more digit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

MOST = 10
LONGEST_TEXT = 500
"""Characters of a text that are shown."""
Ids = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]


def lost_and_won(
    labels: Ids,
    candidate: Logits | None,
    reference: Logits | None,
    *,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    label_names: Sequence[str],
    most: int = MOST,
) -> dict[str, Any]:
    """`lost`: rows that only the reference has right, `won`: rows that only the candidate has right, the one first of
    whose answer the candidate is surest; `lost_rows`, `won_rows`: how many there are in all.

    Each row: row (its place in the split, from 0), text, pair (null where none), label, reference, candidate (label
    names) and probability (the candidate's, of its own answer). Nothing where one of the two gave no answers, or
    answers that are no numbers.

    Args:
        labels: [rows] label ids.
        candidate, reference: logits [rows, labels].
        label_names: by id.
    """
    if candidate is None or reference is None or not (np.isfinite(candidate).all() and np.isfinite(reference).all()):
        return {"lost": [], "won": [], "lost_rows": 0, "won_rows": 0}
    answered, expected = candidate.argmax(axis=1), reference.argmax(axis=1)
    sureness = _largest_probability(candidate)
    lost = np.flatnonzero((expected == labels) & (answered != labels))
    won = np.flatnonzero((expected != labels) & (answered == labels))

    def shown(rows: Ids) -> list[dict[str, Any]]:
        surest = rows[np.argsort(-sureness[rows], kind="stable")][:most]
        return [
            {
                "row": int(row),
                "text": _cut(texts[row]),
                "pair": None if pairs is None else _cut(pairs[row] or ""),
                "label": label_names[labels[row]],
                "reference": label_names[expected[row]],
                "candidate": label_names[answered[row]],
                "probability": float(sureness[row]),
            }
            for row in surest
        ]

    return {"lost": shown(lost), "won": shown(won), "lost_rows": len(lost), "won_rows": len(won)}


def _largest_probability(logits: Logits) -> npt.NDArray[np.float64]:
    """[rows]: the softmax of the answer given."""
    apart = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return np.asarray(1 / np.exp(apart).sum(axis=1))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT].rstrip()} …"
