"""Which columns of a file are the text and the label, for a first recipe: a guess, with its reasons."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Literal

from hone.tasks.data.columns import Columns
from hone.tasks.errors import DataError
from hone.tasks.label_value import NUMBER

Kind = Literal["one", "several", "number"]
"""What a label column holds, as data.labels says it."""
LABEL_NAMES = ("label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "queue", "gold", "tag",
               "rating", "stars", "score", "y")  # fmt: skip
TEXT_NAMES = ("text", "sentence", "review", "comment", "body", "content", "message", "utterance", "tweet", "document",
              "question", "query", "description")  # fmt: skip
PAIRS = (
    ("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("text1", "text2"), ("text_a", "text_b"),
    ("text", "pair"), ("text", "text_pair"), ("premise", "hypothesis"), ("question1", "question2"),
    ("question", "sentence"), ("question", "answer"), ("question", "passage"), ("query", "passage"),
    ("query", "document"),
)  # fmt: skip
DATE = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?")
LEAST_ROWS = 3
"""Rows of a label on average: one each for training, validation and test."""
MOST_NUMBERS = 20
"""Different numbers of a scale, as stars are; of more they have to count from 0 or 1 without a gap."""
MOST_LABELS = 1000
MOST_WORDS = 6
"""Of a label on average."""
LEAST_FILLED = 0.8
SEPARATORS = (";", "|", ",")
LEAST_SEVERAL = 0.05
"""Share of the rows with more than one label, where some have."""
LENGTHS = (16, 32, 64, 128, 256, 512)
COVERED = 0.99
"""Share of the texts that are to fit without being cut."""
PIECE = re.compile(r"[A-Za-z]+|\w|[^\w\s]")
LETTERS = 6
"""Letters of a word that are one token, by and large."""


@dataclass(frozen=True)
class Guess:
    """What the columns seem to be."""

    text: str
    label: str
    pair: str
    """Empty: one text."""
    labels: dict[str, int]
    """How often each value of the label column, or each of several in it, occurs; empty of numbers."""
    other_labels: list[str]
    """Columns that could be the label too, the likeliest first."""
    other_texts: list[str]
    median_tokens: int
    """Of a text and its pair, as estimated."""
    tokens: int
    """That 99 of 100 have at most."""
    max_length: int
    kind: Kind = "one"
    """What the label column holds."""
    separator: str = ""
    """What stands between several labels; empty: they are lists, or one."""
    range: tuple[float, float] | None = None
    """Of numbers, the least and the largest."""


def guess_columns(columns: Columns, text: str = "", label: str = "") -> Guess:
    """Guesses what the columns are; what a person names is taken.

    Raises:
        DataError: when a column that is named is not there, or none looks like a label or a text, with the reason for
            each.
    """
    there, lists = columns.values, columns.lists
    absent = [name for name in (text, label) if name and name not in there and (name != label or name not in lists)]
    if absent:
        raise DataError(
            f"{columns.settings.train}: no column {', '.join(map(repr, absent))}; there are {_named([*there, *lists])}"
        )
    if text and text == label:
        raise DataError(f"--text and --label are both {text!r}: name two columns of {_named(there)}")
    reasons = {name: label_problem(values) for name, values in there.items()}
    labels = _candidates(columns, [name for name, reason in reasons.items() if not reason and name != text], text)
    if not label and not labels:
        told = "\n".join(f"  {name}: {reason}" for name, reason in reasons.items() if name != text)
        read = "" if columns.complete else f" among the first {columns.rows:,} rows"
        raise DataError(
            f"{columns.settings.train}: no column looks like a label{read}:\n{told}\n"
            "name it by --label COLUMN if one of them is"
        )
    label = label or labels[0]
    texts = _texts({name: values for name, values in there.items() if name != label})
    if not text and not texts:
        rest = [name for name in there if name != label]
        raise DataError(
            f"{columns.settings.train}: no column besides the label, {label!r}, looks like text ({_named(rest)}): name "
            "it by --text COLUMN, or the label by --label COLUMN if it is another one"
        )
    pair = ""
    if not text:
        by_name = {name.lower(): name for name in texts}
        found = [(by_name[one], by_name[two]) for one, two in PAIRS if one in by_name and two in by_name]
        text, pair = found[0] if found else (texts[0], "")
    kind, separator, own = _held_by(columns, label)
    lengths = sorted(_tokens(there, text, pair))
    tokens = lengths[min(len(lengths) - 1, int(COVERED * len(lengths)))]
    return Guess(
        text=text,
        label=label,
        pair=pair,
        labels=dict(Counter(value for row in own for value in row).most_common()) if kind != "number" else {},
        kind=kind,
        separator=separator,
        range=_range(own) if kind == "number" else None,
        other_labels=[name for name in labels if name not in (label, text, pair)],
        other_texts=[name for name in texts if name not in (text, pair)],
        median_tokens=lengths[len(lengths) // 2],
        tokens=tokens,
        max_length=next((length for length in LENGTHS if length >= tokens), LENGTHS[-1]),
    )


def _candidates(columns: Columns, labels: list[str], text: str) -> list[str]:
    """Columns that may be the label, the likeliest first.

    Args:
        labels: those that look like one label a row. Where there is none, and before those whose names say nothing
            where a list is called like labels, come lists, values with a separator between several, and numbers.
    """
    there, lists = columns.values, columns.lists
    labels = sorted(labels, key=lambda name: _likeliness(there, name))
    several = sorted((name for name in lists if _repeat(lists[name])), key=lambda name: _rank(name, LABEL_NAMES))
    called = any(_rank(name, LABEL_NAMES) < len(LABEL_NAMES) for name in several)
    if labels and not (called and _rank(labels[0], LABEL_NAMES) == len(LABEL_NAMES)):
        return labels
    rest = [name for name in there if name not in labels and name != text]
    numbers = sorted((name for name in rest if are_numbers(there[name])), key=lambda name: _rank(name, LABEL_NAMES))
    return [*several, *labels, *(name for name in rest if separator_of(there[name])), *numbers]


def _held_by(columns: Columns, label: str) -> tuple[Kind, str, Sequence[Sequence[str]]]:
    """What the label column holds, what stands between several, and the values of each row that has any."""
    if label in columns.lists:
        return "several", "", columns.lists[label]
    values = columns.values[label]
    separator, filled = separator_of(values), [value for value in values if value]
    if separator:
        return "several", separator, [_parts(value, separator) for value in filled]
    kind: Kind = "number" if label_problem(values) and are_numbers(values) else "one"
    return kind, "", [[value] for value in filled]


def _range(rows: Sequence[Sequence[str]]) -> tuple[float, float]:
    numbers = [float(value) for row in rows for value in row]
    return min(numbers), max(numbers)


def label_problem(values: Sequence[str]) -> str:
    """Why a column is no label, in a few words; empty where it looks like one."""
    filled = [value for value in values if value]
    counts = Counter(filled)
    if len(filled) < LEAST_FILLED * len(values):
        return f"empty in {1 - len(filled) / len(values):.0%} of the rows"
    if len(counts) < 2:
        return f"one value in all rows, {next(iter(counts))[:40]!r}"
    return _problem_of_values(counts)


def separator_of(values: Sequence[str]) -> str:
    """What parts several labels in a column; empty where nothing does. Some rows have several, and the parts are few
    and come back, in fewer words than make a text: there are fewer of them than of the values that they make up."""
    filled = [value for value in values if value]
    for separator in SEPARATORS:
        rows = [_parts(value, separator) for value in filled]
        if sum(len(row) > 1 for row in rows) < max(1.0, LEAST_SEVERAL * len(rows)):
            continue
        if _repeat(rows) and len({part for row in rows for part in row}) < len(set(filled)):
            return separator
    return ""


def are_numbers(values: Sequence[str]) -> bool:
    """Whether a column holds numbers that measure something, and do not just count the rows."""
    filled = [value for value in values if value]
    if len(filled) < LEAST_FILLED * len(values) or not all(NUMBER.fullmatch(value) for value in filled):
        return False
    whole = all(float(value).is_integer() for value in filled)
    return len(set(filled)) > 2 and not (whole and len(set(filled)) == len(filled))


def _repeat(rows: Sequence[Sequence[str]]) -> bool:
    """Whether lists hold labels: of few words, and few enough to come back."""
    counts = Counter(label for row in rows for label in row)
    words = sum(len(label.split()) * times for label, times in counts.items())
    return (
        2 <= len(counts) <= MOST_LABELS
        and counts.total() >= LEAST_ROWS * len(counts)
        and (words <= MOST_WORDS * counts.total())
    )


def _parts(value: str, separator: str) -> list[str]:
    return [part.strip() for part in value.split(separator) if part.strip()]


def _problem_of_values(counts: Counter[str]) -> str:
    rows = counts.total()
    if sum(rows_of * len(value.split()) for value, rows_of in counts.items()) > MOST_WORDS * rows:
        return "texts"
    if all(DATE.fullmatch(value) for value in counts):
        return "dates"
    if all(NUMBER.fullmatch(value) for value in counts) and not _are_classes(counts):
        numbers = sorted(map(float, counts))
        return f"{len(counts):,} different numbers, from {numbers[0]:g} to {numbers[-1]:g}"
    if rows < LEAST_ROWS * len(counts) or len(counts) > MOST_LABELS:
        return f"{len(counts):,} different values in {rows:,} rows"
    return ""


def _are_classes(counts: Counter[str]) -> bool:
    """Whether numbers are few, or count classes: from 0 or 1 without a gap."""
    numbers = sorted(map(float, counts))
    counting = numbers[0] in (0, 1) and numbers == [numbers[0] + index for index in range(len(numbers))]
    return len(counts) <= MOST_NUMBERS or (counting and counts.total() >= LEAST_ROWS * len(counts))


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has, without a tokenizer at hand: one for each six letters of a word, each other
    sign and each letter beyond ASCII, which is too many rather than too few."""
    return sum(-(-len(piece) // LETTERS) for piece in PIECE.findall(text))


def _likeliness(there: dict[str, list[str]], name: str) -> tuple[int, bool, int, int]:
    """Sorts label columns, the likeliest first: by name, words before numbers, few values before many, the last of the
    file before the first."""
    values = set(there[name]) - {""}
    numbers = all(NUMBER.fullmatch(value) for value in values)
    return _rank(name, LABEL_NAMES), numbers, len(values), -list(there).index(name)


def _texts(columns: dict[str, list[str]]) -> list[str]:
    """Columns that look like text, the likeliest first; where none does, those of single words that differ."""
    sizes, alike = {}, {}
    for name, values in columns.items():
        filled = [value for value in values if value]
        numbers = sum(1 for value in filled if NUMBER.fullmatch(value) or DATE.fullmatch(value))
        if not filled or numbers > len(filled) / 2:
            continue
        size = mean(map(len, filled))
        beyond = sum(not value.isascii() for value in filled) > len(filled) / 2
        if mean(len(value.split()) for value in filled) >= 2 or (beyond and size >= 4):
            sizes[name] = size
        elif len(set(filled)) > len(filled) / 2:
            alike[name] = size
    found = sizes or alike
    return sorted(found, key=lambda name: (_rank(name, TEXT_NAMES), -found[name]))


def _tokens(there: dict[str, list[str]], text: str, pair: str) -> list[int]:
    """Of each row, with the tokens that begin and part the texts."""
    if not pair:
        return [estimated_tokens(value) + 2 for value in there[text]]
    both = zip(there[text], there[pair], strict=True)
    return [estimated_tokens(one) + estimated_tokens(two) + 3 for one, two in both]


def _rank(name: str, known: Sequence[str]) -> int:
    return known.index(name.lower()) if name.lower() in known else len(known)


def _named(names: Sequence[str] | dict[str, list[str]]) -> str:
    return ", ".join(map(repr, names)) or "none"
