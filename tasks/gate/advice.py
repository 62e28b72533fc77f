"""What a person can do about an open question: which setting, and to which value."""

import math
from dataclasses import dataclass

from hone.configs.data import DataSettings

LARGEST_FRACTION = 0.45
"""Of the rows for testing; beyond it too few are left to learn from, and more rows are the better advice."""


@dataclass(frozen=True)
class RowSource:
    """Where the test rows come from."""

    rows: int
    """In the test split."""
    total: int
    """In all three splits."""
    fraction: float | None
    """data.test_fraction, where the test split is split off; None where it is given."""

    def more(self, needed: int) -> str:
        """How to come to so many test rows."""
        if self.fraction is None:
            return f"give a test split of {needed:,} rows"
        fraction = math.ceil(100 * needed / max(1, self.total)) / 100
        if fraction <= LARGEST_FRACTION:
            return f"set data.test_fraction: {fraction:g}, which is {self.fraction:g} now"
        return f"label more: {math.ceil(needed / self.fraction):,} rows in all at data.test_fraction: {self.fraction:g}"


def too_few_rows(rows: int, margin: float, level: float) -> str:
    """What to say of test rows that cannot show a margin of accuracy: even a model that answers each of them as the
    teacher does would be left open. Empty where they can.

    Args:
        rows: in the test split.
        margin: fraction of the rows.
        level: one-sided error rate of the first look at them.
    """
    # Imported here: a run that finds everything done imports this file, and does without scipy.
    from hone.tasks.gate.exact import exact_low

    bound = exact_low(0, 0, rows, level)
    if bound >= -margin:
        return ""
    most = 2 * rows
    while exact_low(0, 0, most, level) < -margin:
        most *= 2
    least = most // 2
    while most - least > max(1, least // 50):
        middle = (least + most) // 2
        least, most = (middle, most) if exact_low(0, 0, middle, level) < -margin else (least, middle)
    return (
        f"{rows:,} test rows cannot show gate.margin: {margin:g}: a model that answers every one as the teacher does "
        f"has a lower bound of {100 * bound:.2f} points. It takes about {most:,} at least, more for a model that "
        f"differs anywhere, or a margin above {-bound:.3f}"
    )


def row_source(settings: DataSettings, rows: dict[str, int]) -> RowSource:
    """Where a recipe has its test rows from.

    Args:
        rows: of each split.
    """
    given = {"files": settings.test, "hub": settings.test_split, "saved": settings.test_split}.get(settings.source, "")
    return RowSource(rows.get("test", 0), sum(rows.values()), None if given else settings.test_fraction)
