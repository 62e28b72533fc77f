"""A row as it was found, and the record of those that could not be used."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from hone.configs.data import DataSettings
from hone.tasks.contracts import BadRows
from hone.tasks.errors import DataError

SPLITS = ("train", "validation", "test")
LINES_SHOWN = 10

UNUSABLE = {
    "undecodable": "bytes that are no text in the file's encoding",
    "wrong_field_count": "more or fewer fields than there are columns",
    "broken_quotes": "a quote that never closes within 33,554,432 characters, or text after a closing quote",
    "not_json": "not a JSON object",
    "wrong_type": "a list or an object where a text, a number or a label is expected",
    "empty_text": "no text",
    "missing_label": "no label",
    "unknown_label": "a label that the training split does not have",
    "list_as_text": "a list of labels that was written as text",
    "not_a_number": "something else where a number is to be predicted",
    "mixed_separators": "blanks where the file's columns are separated by tabs, or tabs where they are by blanks",
    "length_mismatch": "more or fewer tags than words",
    "unknown_prefix": "a tag that is not O and has no prefix of the training split's scheme, as B- and I- are",
    "stray_inside": "a tag that continues an entity where none of its type is open: I- after O",
    "unfinished_entity": "an entity without its last tag, in a scheme that marks ends",
    "missing_start": "an answer without its first character's place in the context",
    "starts_mismatch": "more or fewer first characters than answers",
    "answer_not_at_start": "an answer that does not stand in the context from its first character on",
    "not_messages": "something else than a list of messages, each with its role and its content, in a prompt and its "
    "completion alike",
    "unknown_role": "a message of another role than system, user and assistant, or one that calls a tool",
    "no_answer": "a conversation or a prompt without an answer that could be learned, or with an empty one",
}
"""Kinds of rows that are left out and count towards `data.max_bad_fraction`."""

NOTICES = {
    "split_overlap": "removed, as the same text stands in a later split",
    "duplicate_text": "removed before splitting, as the same text stands there once already",
    "contradicting_label": "removed before splitting, as the same text has another label more often",
    "unreadable_file": "a source file that Python cannot parse",
    "empty_sentence": "a sentence without words",
    "unanswered_end": "a conversation whose last messages, which nobody answers, were left out",
    "no_final_blank_line": "a file whose last sentence no blank line ends: it may have been cut off",
}
"""Kinds that are reported and do not count: nothing is wrong with the row itself."""


class RawRow(NamedTuple):
    """One row as its source holds it. Values are text, UTF-8 bytes, numbers, or None where absent."""

    line: int
    """Line in the file, counted from 1 with the header; where there are no lines, the row's number."""
    text: object
    pair: object
    label: object
    slices: tuple[object, ...] = ()
    """Values of data.slice_columns, in their order."""


class BadRowLog:
    """Counts rows by kind and keeps the first ten of each, so that a file of nothing but bad rows costs no memory."""

    def __init__(self, locate: Callable[[str, int], str]) -> None:
        """`locate` names a split's line to a person."""
        self._locate = locate
        self._counts: dict[str, int] = {}
        self._first: dict[str, list[str]] = {}
        self._details: dict[str, list[str]] = {}

    def add(self, kind: str, split: str, line: int) -> None:
        """Records one row."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        first = self._first.setdefault(kind, [])
        if len(first) < LINES_SHOWN:
            first.append(self._locate(split, line))

    def add_all(self, kind: str, split: str, lines: Iterable[int]) -> None:
        """Records the rows on several lines."""
        for line in lines:
            self.add(kind, split, line)

    def add_file(self, kind: str, place: str) -> None:
        """Records a whole file."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        first = self._first.setdefault(kind, [])
        if len(first) < LINES_SHOWN:
            first.append(place)

    def explain(self, kind: str, detail: str) -> None:
        """Says more of a kind than its places do."""
        self._details.setdefault(kind, []).append(detail)

    @property
    def unusable(self) -> int:
        """Rows that count as bad."""
        return sum(count for kind, count in self._counts.items() if kind in UNUSABLE)

    def contracts(self) -> list[BadRows]:
        """All kinds that occurred, the unusable ones first."""
        order = [*UNUSABLE, *NOTICES]
        return [
            BadRows(
                kind=kind,
                count=self._counts[kind],
                lines=self._first[kind],
                detail="; ".join(self._details.get(kind, [])),
            )
            for kind in sorted(self._counts, key=order.index)
        ]

    def check(self, rows: int, max_bad_fraction: float) -> None:
        """Stops when too many of `rows` rows are unusable.

        Raises:
            DataError: with every kind, how often, and the first ten lines of each.
        """
        if not rows or self.unusable / rows <= max_bad_fraction:
            return
        kinds = [
            f"  {bad.kind} ({UNUSABLE[bad.kind]}): {bad.count:,}, first at {', '.join(bad.lines)}"
            + (f"\n    {bad.detail}" if bad.detail else "")
            for bad in self.contracts()
            if bad.kind in UNUSABLE
        ]
        raise DataError(
            f"{self.unusable:,} of {rows:,} rows ({self.unusable / rows:.2%}) are unusable, and data.max_bad_fraction "
            f"allows {max_bad_fraction:.2%}:\n"
            + "\n".join(kinds)
            + "\nmend those lines, or raise data.max_bad_fraction"
        )


def row_maker(
    settings: DataSettings, place: Callable[[str], Any] = str
) -> Callable[[int, Callable[[Any], object]], RawRow]:
    """What makes a row of a line, once for all of them.

    Args:
        place: of a column, by its name, in whatever the values are then taken from; as it is, the name itself.

    Returns:
        A function of the line and of how the value at a place is had. Where answers begin in a column of their own, the
        row's label is `(answers, starts)`.
    """
    text, label = place(settings.input_column), place(settings.target_column) if settings.target_column else None
    slices = [place(name) for name in settings.slice_columns]
    pair = place(settings.second_column) if settings.second_column else None
    start = place(settings.place_column) if settings.place_column else None

    def make(line: int, value: Callable[[Any], object]) -> RawRow:
        answer = None if label is None else value(label)
        return RawRow(
            line,
            value(text),
            None if pair is None else value(pair),
            answer if start is None else (answer, value(start)),
            tuple(map(value, slices)),
        )

    return make


def check_columns(where: str, seen: list[str], settings: DataSettings, advice: str = "") -> None:
    """Refuses data in which a column that is used is not to be had.

    Raises:
        DataError: when a column that is used is absent from, or twice among, those seen.
    """
    shown = ", ".join(repr(name if len(name) <= 40 else f"{name[:37]}...") for name in seen) or "none"
    used = "data.text_column, data.pair_column, data.label_column"
    if settings.tokens_column:
        used = "data.tokens_column, data.tags_column"
    elif settings.context_column:
        used = "data.question_column, data.context_column, data.answers_column, data.start_column"
    elif settings.document_column:
        used = "data.document_column"
    elif settings.messages_column:
        used = "data.messages_column"
    elif settings.prompt_column:
        used = "data.prompt_column, data.completion_column"
    absent = [name for name in settings.used_columns if name not in seen]
    if absent:
        raise DataError(
            f"{where}: no column {', '.join(map(repr, absent))}; the columns seen are {shown}. Set {used} "
            f"and data.slice_columns to some of them{advice}"
        )
    twice = [name for name in settings.used_columns if seen.count(name) > 1]
    if twice:
        raise DataError(
            f"{where}: several columns are called {', '.join(map(repr, twice))}, of {shown}: rename all but one"
        )
