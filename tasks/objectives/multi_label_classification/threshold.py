"""The probability from which on a label is given: one for all labels, chosen on the validation split.

One for all, as a threshold of its own for each label is chosen from that label's validation rows alone: of a rare one
these are a handful, and what wins on them by luck is lost on the test. The choice is part of an epoch's validation, so
it stands in the model's config before a test row is read, and every form of the model answers with it.

Source: Yang 2001, A study on thresholding strategies for text categorization (SIGIR), of how thresholds tuned for each
label overfit rare ones. Lipton, Elkan and Naryanaswamy 2014, arXiv:1402.1892: what maximises F1 is half of the best F1,
and so at most 0.5.
"""

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.metric import share

Floats = npt.NDArray[np.float64]

GRID: Floats = np.arange(1, 50) / 50
"""Candidates: 0.02, 0.04 and so on to 0.98."""
FIELD = "threshold"
"""Of a model's config.json."""


def logit(threshold: float) -> float:
    """The logit of a probability: a label is given where its own is above that."""
    return float(np.log(threshold) - np.log1p(-threshold))


LOGITS: Floats = np.log(GRID) - np.log1p(-GRID)
"""Of the candidates."""


def micro_f1(true: float, predicted: Floats, correct: Floats) -> Floats:
    """F1 over all labels of all rows, by candidate; 0 where no label is true and none is given.

    Args:
        true: labels that rows have.
        predicted, correct: labels that are given, and rightly so, by candidate.
    """
    return share(2 * correct, true + predicted)


def best(true: float, predicted: Floats, correct: Floats) -> int:
    """Place in the grid of the candidate with the highest F1; of several that are as good, the one nearest to 0.5, and
    of two as near the lower one."""
    scores = micro_f1(true, predicted, correct)
    return int(np.lexsort((GRID, np.abs(GRID - 0.5).round(9), -scores))[0])
