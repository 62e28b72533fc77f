"""A number that belongs to a text, as it is to be predicted."""

import math
from collections import Counter

import numpy as np
import pyarrow as pa

from hone.tasks.data.clean import Unusable, as_text
from hone.tasks.data.labels import some
from hone.tasks.data.rows import BadRowLog
from hone.tasks.errors import DataError
from hone.tasks.label_value import ORDERED

LEAST_SPREAD, MOST_SPREAD = 0.05, 50.0
"""Standard deviations that the head comes to in a few hundred steps at the learning rates of encoders. AdamW moves a
weight by about the learning rate in a step, whatever the unit of the loss: some thousand steps of 1e-4 move the answer
by tens, and leave it trembling by hundredths."""


class Numbers:
    """Reads numbers as JSON spells them, and with a plus sign or leading zeros. A decimal comma is refused: whether
    1,234 is a little more than one or than a thousand is not ours to guess."""

    field = pa.field("number", pa.float64())

    def __init__(self) -> None:
        self._wrong: Counter[str] = Counter()

    def read(self, value: object) -> float:
        """The number.

        Raises:
            Unusable: `missing_label`, `not_a_number`, or what `as_text` finds.
        """
        text = as_text(value).strip()
        if not text:
            raise Unusable("missing_label")
        number = float(text) if ORDERED.fullmatch(text) else math.inf
        if not math.isfinite(number):
            self._wrong[text] += 1
            raise Unusable("not_a_number")
        return number

    def number(self, read: float, values: dict[str, int]) -> float:
        """The number itself."""
        return read

    def explain(self, split: str, bad: BadRowLog) -> None:
        """Shows what is no number."""
        if self._wrong:
            seen = some([f"{text!r} ({count:,})" for text, count in self._wrong.most_common(10)])
            comma = any("," in text for text in self._wrong)
            point = ": write 3.5 and not 3,5, and 1234.5 and not 1,234.5" if comma else ""
            bad.explain("not_a_number", f"{split} has {seen}{point}")


def check_numbers(train: pa.Table, column: str) -> None:
    """Whether the numbers of training can be learned.

    Raises:
        DataError: when they are all the same, or their spread is far from 1.
    """
    numbers = train["number"].to_numpy()
    spread = float(np.std(numbers)) if len(numbers) else 0.0
    if not spread:
        shown = f"all {numbers[0]:g}" if len(numbers) else "none"
        raise DataError(
            f"the numbers of the training split are {shown}, and there is nothing to learn of that: check "
            "data.label_column and the training rows"
        )
    if not LEAST_SPREAD <= spread <= MOST_SPREAD:
        factor = 10.0 ** -round(math.log10(spread))
        raise DataError(
            f"the numbers in {column!r} have a standard deviation of {spread:,.4g} in the training split, and between "
            f"{LEAST_SPREAD:g} and {MOST_SPREAD:g} is what a model learns at the usual rates: give them in another "
            f"unit, such as {factor:g} times these numbers, or their logarithm"
        )
