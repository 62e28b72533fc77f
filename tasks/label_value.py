"""One spelling of a number, whatever format it comes from, and the order of label values."""

import re
from collections.abc import Iterable
from decimal import Decimal

NUMBER = re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
"""As JSON spells numbers, and with a plus sign or without digits before or after the point, as others do."""
ORDERED = re.compile(rf"{NUMBER.pattern}|[+-]?[0-9]+(\.[0-9]*)?")
"""Numbers with leading zeros are identifiers, such as 007, and yet have their place among numbers."""


def one_spelling(value: str) -> str:
    """`1` for 1.0, 1., +1 and 1e0, and `0.5` for .5 and 0.50; anything else, 007 and 1,000 too, as it is."""
    if not NUMBER.fullmatch(value):
        return value
    digits = format(Decimal(value), "f")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return "0" if digits == "-0" else digits


def in_order(values: Iterable[str]) -> list[str]:
    """Numbers by their size, and then the others as text."""
    numbers = {value: Decimal(value) for value in values if ORDERED.fullmatch(value)}
    return [
        *sorted(numbers, key=lambda value: (numbers[value], value)),
        *sorted(value for value in values if value not in numbers),
    ]
