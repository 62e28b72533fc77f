"""How far two forms of one model are apart in numbers, whatever the numbers mean."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.judging import FormDifference

Numbers = npt.NDArray[Any]


def difference_of(
    source: Numbers, target: Numbers, same: Callable[[Numbers, Numbers], npt.NDArray[np.bool_]], gained: float
) -> FormDifference:
    """A row with a number that is not finite agrees with nothing, and one such row makes the differences infinite, as
    do answers of another shape.

    Args:
        source, target: answers [rows, ...] to the same rows.
        same: which of their numbers come to the same.
        gained: in the primary metric.
    """
    infinite = float("inf")
    if source.shape != target.shape:
        return FormDifference(infinite, infinite, 0.0, 0.0)
    sound = np.asarray(np.isfinite(source).all(axis=1) & np.isfinite(target).all(axis=1))
    agreement = float((same(np.nan_to_num(source), np.nan_to_num(target)) & sound[:, None]).mean())
    if not sound.all():
        return FormDifference(infinite, infinite, agreement, gained)
    apart = target.astype(np.float64) - source
    spread = max(float(source.std()), float(np.finfo(np.float32).tiny))
    return FormDifference(float(np.abs(apart).max()), float(np.sqrt((apart**2).mean())) / spread, agreement, gained)
