"""When a question counts as not answered: a threshold chosen on validation, before any row of the test is seen."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def best_threshold(margins: Floats, answered: Floats, silent: Floats) -> tuple[float, float]:
    """The threshold above which a margin means no answer, and the mean score that it gives: the best there is, halfway
    between the two margins that it parts; of several, the one that leaves most questions without an answer.

    Args:
        margins: how much more no answer speaks for itself than the best answer does [questions].
        answered: score of the best answer to each question.
        silent: score of no answer to each question.

    Source: `find_best_thresh` of SQuAD's evaluate-v2.0.py, which takes the margin below.
    """
    order = np.argsort(margins, kind="stable")
    values, gain = margins[order], (answered - silent)[order]
    # The first i questions in the order of their margins are answered, where a threshold can part them from the rest.
    sums = silent.sum() + np.concatenate([[0.0], np.cumsum(gain)])
    parts = np.concatenate([[True], values[1:] > values[:-1], [True]])
    best = int(np.argmax(np.where(parts, sums, -np.inf)))
    low = values[best - 1] if best else values[0] - 2.0
    high = values[best] if best < len(values) else values[-1] + 2.0
    return float((low + high) / 2), float(sums[best] / len(values))
