"""Rows of the test split on which the selected model and the teacher part: a person learns more from ten of them than
from one more digit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.judging import Answers, Judging, Targets

MOST = 10
LONGEST_TEXT = 500
"""Characters of a text that are shown."""


def disagreements(
    judging: Judging,
    targets: Targets,
    candidate: Answers | None,
    reference: Answers | None,
    *,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    label_names: Sequence[str],
    most: int = MOST,
) -> dict[str, Any]:
    """`lost`: rows that only the reference has right, or has better, `won`: rows that only the candidate has, the one
    first of whose answer the candidate is surest; `lost_rows`, `won_rows`: how many there are in all.

    Each row: row (its place in the split, from 0), text, pair (null where none), and what the task shows of an answer
    (`Judging.examples`). Nothing where one of the two gave no answers, or answers that are no numbers.

    Args:
        targets: [rows], what would have been right.
        candidate, reference: answers [rows, ...].
        label_names: by id.
    """
    nothing: dict[str, Any] = {"lost": [], "won": [], "lost_rows": 0, "won_rows": 0}
    if candidate is None or reference is None:
        return nothing
    answered, expected = judging.statistics(candidate, targets), judging.statistics(reference, targets)
    if judging.unanswered(answered).any() or judging.unanswered(expected).any():
        return nothing
    gain = judging.metrics[judging.primary].gain(answered.astype(np.float64), expected.astype(np.float64))
    sureness = judging.sureness(candidate)

    def shown(rows: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
        surest = rows[np.argsort(-sureness[rows], kind="stable")][:most]
        shown_texts = [(texts if pairs is None else pairs)[row] for row in surest]
        about = judging.examples(targets[surest], candidate[surest], reference[surest], label_names, shown_texts)
        return [
            {
                "row": int(row),
                "text": _cut(texts[row]),
                "pair": None if pairs is None else _cut(pairs[row] or ""),
                **told,
            }
            for row, told in zip(surest, about, strict=True)
        ]

    lost, won = np.flatnonzero(gain < 0), np.flatnonzero(gain > 0)
    return {"lost": shown(lost), "won": shown(won), "lost_rows": len(lost), "won_rows": len(won)}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT].rstrip()} …"
