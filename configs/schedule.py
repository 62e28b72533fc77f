"""Cron expressions, checked where a recipe is loaded and in the run form: no engine is asked."""

import re

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FIELDS: dict[str, tuple[int, int, tuple[str, ...], str]] = {
    "minute": (0, 59, (), "[0-5]?[0-9]"),
    "hour": (0, 23, (), "2[0-3]|[01]?[0-9]"),
    "day of month": (1, 31, (), "3[01]|[12][0-9]|0?[1-9]"),
    "month": (1, 12, MONTHS, "1[0-2]|0?[1-9]"),
    "day of week": (0, 7, WEEKDAYS, "[0-7]"),
}
"""The five fields in their order: least and largest number, the names that may stand for numbers from the least, and
the pattern of the numbers."""
LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _field_pattern(names: tuple[str, ...], numbers: str) -> str:
    value = "|".join([numbers, *names, *(name.upper() for name in names)])
    item = rf"(\*|({value})(-({value}))?)(/[1-9][0-9]?)?"
    return f"{item}(,{item})*"


CRON_PATTERN = "^$|^" + " ".join(_field_pattern(names, numbers) for _, _, names, numbers in FIELDS.values()) + "$"
"""Five fields of numbers in their bounds, or nothing; a pattern for forms, which know regular expressions alone."""


def cron_problem(expression: str) -> str:
    """Why an expression of five fields never comes due, or means nothing; empty where it is right, or is empty."""
    if not expression:
        return ""
    parts = expression.split(" ")
    if len(parts) != len(FIELDS):
        return f"it has {len(parts)} fields and needs 5: minute, hour, day of month, month, day of week"
    chosen: dict[str, set[int]] = {}
    for part, (name, (low, high, names, numbers)) in zip(parts, FIELDS.items(), strict=True):
        if not re.fullmatch(_field_pattern(names, numbers), part):
            known = f"{low} to {high}" + (f" or {names[0]} to {names[-1]}" if names else "")
            return f"'{part}' is no {name}: use *, numbers from {known}, ranges, lists and steps"
        chosen[name] = set()
        for item in part.split(","):
            span, _, step = item.partition("/")
            first, _, last = span.partition("-")
            start = low if first == "*" else _number(first, low, names)
            end = high if first == "*" or (step and not last) else _number(last or first, low, names)
            if end < start:
                return f"'{item}' is no {name}: a range goes from the smaller to the larger"
            chosen[name] |= set(range(start, end + 1, int(step or 1)))
    days, months = chosen["day of month"], chosen["month"]
    if parts[4] == "*" and min(days) > max(LONGEST_MONTHS[month - 1] for month in months):
        return f"it never comes due: no month that it names has a day {min(days)}"
    return ""


def _number(text: str, low: int, names: tuple[str, ...]) -> int:
    return low + names.index(text.lower()) if text.lower() in names else int(text)
