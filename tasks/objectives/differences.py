"""How far two forms of one model are apart, whatever their numbers mean."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hone.tasks.objectives.judging import Answers, FormDifference, Judging, Targets
from hone.tasks.objectives.ragged import alike, numbers

Numbers = npt.NDArray[Any]
Same = Callable[[Numbers, Numbers], npt.NDArray[np.bool_]]


def compare_forms(
    judging: Judging,
    source: Answers,
    target: Answers,
    targets: Targets,
    same: Same,
    columns: Sequence[int] | None = None,
) -> FormDifference:
    """An answer with a number that is not finite agrees with nothing, and one such answer makes the differences
    infinite, as do answers of another shape. What is gained is in the primary metric.

    Args:
        source, target: answers to the same rows.
        same: of finite numbers [items, ...] of both, which come to the same: [items], or [items, ...].
        columns: those of the numbers whose difference is measured, each of a scale of its own; None: all, of one scale.
    """
    infinite = float("inf")
    if not alike(source, target):
        return FormDifference(infinite, infinite, 0.0, 0.0)
    before, after = numbers(source), numbers(target)
    primary = judging.metrics[judging.primary]
    gained = primary.of(judging.statistics(target, targets)) - primary.of(judging.statistics(source, targets))
    if not len(before):
        return FormDifference(0.0, 0.0, 1.0, gained)
    sound = np.asarray(np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1))
    agree = same(np.nan_to_num(before), np.nan_to_num(after))
    agreement = float((agree & sound.reshape(-1, *[1] * (agree.ndim - 1))).mean())
    if not sound.all():
        return FormDifference(infinite, infinite, agreement, gained)
    if columns is not None:
        before, after = before[:, columns].astype(np.float64), after[:, columns]
    apart = after.astype(np.float64) - before
    deviation = before.std() if columns is None else np.sqrt(before.var(axis=0).mean())
    spread = max(float(deviation), float(np.finfo(np.float32).tiny))
    return FormDifference(float(np.abs(apart).max()), float(np.sqrt((apart**2).mean())) / spread, agreement, gained)


def same_choice(one: Numbers, other: Numbers) -> npt.NDArray[np.bool_]:
    """Whether the largest of the numbers [items, labels] is the same label [items]; the first of equal ones."""
    return np.asarray(one.argmax(axis=1) == other.argmax(axis=1))
