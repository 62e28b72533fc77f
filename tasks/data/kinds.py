"""What a row has, and what becomes of it: a label, several, a number, tags of its words, answers to a question, the
answers of a conversation, or nothing but its text. One object a kind."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import pyarrow as pa

from hone.configs.data import DataSettings
from hone.tasks.data.clean import Collected, collect
from hone.tasks.data.conversations import KINDS as CONVERSATIONS
from hone.tasks.data.conversations import collect_conversations
from hone.tasks.data.documents import KINDS as DOCUMENTS
from hone.tasks.data.documents import check_documents, collect_documents
from hone.tasks.data.labels import name_labels, number_labels
from hone.tasks.data.numbers import Numbers, check_numbers
from hone.tasks.data.questions import KINDS, collect_questions
from hone.tasks.data.rows import BadRowLog, RawRow
from hone.tasks.data.sentences import collect_sentences
from hone.tasks.data.several import SeveralLabels, number_several
from hone.tasks.data.tags import check_types, number_tags
from hone.tasks.label_value import in_order

Told = Callable[[int], None]
Tables = dict[str, pa.Table]


class Kind(Protocol):
    """How rows of one kind are read, and how what they have is numbered alike in every split."""

    target: str
    """The prepared data's column with what rows have."""

    def collect(
        self, rows: Iterable[RawRow], split: str, settings: DataSettings, bad: BadRowLog, on_rows: Told
    ) -> Collected:
        """The usable rows; the others are recorded."""
        ...

    def number(
        self, found: Mapping[str, Collected], settings: DataSettings, known: Mapping[str, str], bad: BadRowLog
    ) -> tuple[Tables, list[str]]:
        """The splits with what they have as numbers, and the values by number; rows with what training lacks are
        recorded and left out.

        Args:
            found: as `collect` returns them.
            known: names by value, where the source has them.
        """
        ...

    def names(self, tables: Tables, values: list[str], settings: DataSettings, known: Mapping[str, str]) -> list[str]:
        """Names by number, once all rows are known.

        Raises:
            DataError: when training has too little to learn from, or the names do not fit.
        """
        ...

    def names_so_far(self, values: list[str], settings: DataSettings) -> bool:
        """Whether the first rows alone tell what `names` would object to."""
        ...


class OneLabel:
    """A label for each text."""

    target = "label"

    def collect(
        self, rows: Iterable[RawRow], split: str, settings: DataSettings, bad: BadRowLog, on_rows: Told
    ) -> Collected:
        return collect(rows, split, settings, bad, on_rows)

    def number(
        self, found: Mapping[str, Collected], settings: DataSettings, known: Mapping[str, str], bad: BadRowLog
    ) -> tuple[Tables, list[str]]:
        values = in_order(found["train"].values)
        return {split: number_labels(collected, split, values, bad) for split, collected in found.items()}, values

    def names(self, tables: Tables, values: list[str], settings: DataSettings, known: Mapping[str, str]) -> list[str]:
        return name_labels(values, settings.label_names, dict(known))

    def names_so_far(self, values: list[str], settings: DataSettings) -> bool:
        return len(values) > len(settings.label_names) > 0


class Several(OneLabel):
    """Any number of labels for each text."""

    target = "flags"

    def collect(
        self, rows: Iterable[RawRow], split: str, settings: DataSettings, bad: BadRowLog, on_rows: Told
    ) -> Collected:
        return collect(rows, split, settings, bad, on_rows, SeveralLabels(settings.label_separator))

    def number(
        self, found: Mapping[str, Collected], settings: DataSettings, known: Mapping[str, str], bad: BadRowLog
    ) -> tuple[Tables, list[str]]:
        values = in_order(found["train"].values)
        return {split: number_several(collected, split, values, bad) for split, collected in found.items()}, values


class Number:
    """A number for each text. It has the column's name where labels have theirs."""

    target = "number"

    def collect(
        self, rows: Iterable[RawRow], split: str, settings: DataSettings, bad: BadRowLog, on_rows: Told
    ) -> Collected:
        return collect(rows, split, settings, bad, on_rows, Numbers())

    def number(
        self, found: Mapping[str, Collected], settings: DataSettings, known: Mapping[str, str], bad: BadRowLog
    ) -> tuple[Tables, list[str]]:
        return {split: collected.table for split, collected in found.items()}, [settings.label_column]

    def names(self, tables: Tables, values: list[str], settings: DataSettings, known: Mapping[str, str]) -> list[str]:
        check_numbers(tables["train"], settings.label_column)
        return values

    def names_so_far(self, values: list[str], settings: DataSettings) -> bool:
        return True


class Tags:
    """A tag for each word of a sentence."""

    target = "tags"

    def collect(
        self, rows: Iterable[RawRow], split: str, settings: DataSettings, bad: BadRowLog, on_rows: Told
    ) -> Collected:
        return collect_sentences(rows, split, settings, bad, on_rows)

    def number(
        self, found: Mapping[str, Collected], settings: DataSettings, known: Mapping[str, str], bad: BadRowLog
    ) -> tuple[Tables, list[str]]:
        return number_tags(found, settings.label_names, known, bad)

    def names(self, tables: Tables, values: list[str], settings: DataSettings, known: Mapping[str, str]) -> list[str]:
        check_types(values)
        return values

    def names_so_far(self, values: list[str], settings: DataSettings) -> bool:
        return True


class Answers:
    """Answers to each question, all of them in its context, or none; where labels have names, these two kinds have
    theirs."""

    target = "starts"

    def collect(
        self, rows: Iterable[RawRow], split: str, settings: DataSettings, bad: BadRowLog, on_rows: Told
    ) -> Collected:
        return collect_questions(rows, split, settings, bad, on_rows)

    def number(
        self, found: Mapping[str, Collected], settings: DataSettings, known: Mapping[str, str], bad: BadRowLog
    ) -> tuple[Tables, list[str]]:
        return {split: collected.table for split, collected in found.items()}, KINDS

    def names(self, tables: Tables, values: list[str], settings: DataSettings, known: Mapping[str, str]) -> list[str]:
        return values

    def names_so_far(self, values: list[str], settings: DataSettings) -> bool:
        return True


class Documents:
    """Nothing beside the text."""

    target = "text"

    def collect(
        self, rows: Iterable[RawRow], split: str, settings: DataSettings, bad: BadRowLog, on_rows: Told
    ) -> Collected:
        return collect_documents(rows, split, settings, bad, on_rows)

    def number(
        self, found: Mapping[str, Collected], settings: DataSettings, known: Mapping[str, str], bad: BadRowLog
    ) -> tuple[Tables, list[str]]:
        return {split: collected.table for split, collected in found.items()}, DOCUMENTS

    def names(self, tables: Tables, values: list[str], settings: DataSettings, known: Mapping[str, str]) -> list[str]:
        check_documents({split: len(table) for split, table in tables.items()}, settings)
        return values

    def names_so_far(self, values: list[str], settings: DataSettings) -> bool:
        return True


class Conversations(Documents):
    """The messages of a conversation, some of which are answers; they have no names either."""

    target = "messages"

    def collect(
        self, rows: Iterable[RawRow], split: str, settings: DataSettings, bad: BadRowLog, on_rows: Told
    ) -> Collected:
        return collect_conversations(rows, split, settings, bad, on_rows)

    def number(
        self, found: Mapping[str, Collected], settings: DataSettings, known: Mapping[str, str], bad: BadRowLog
    ) -> tuple[Tables, list[str]]:
        return {split: collected.table for split, collected in found.items()}, CONVERSATIONS


OF_TEXTS: dict[str, Kind] = {"one": OneLabel(), "several": Several(), "number": Number()}
"""By data.labels."""


def kind_of(settings: DataSettings) -> Kind:
    """What the rows of these settings have."""
    if settings.context_column:
        return Answers()
    if settings.document_column:
        return Documents()
    if settings.conversations:
        return Conversations()
    return Tags() if settings.tokens_column else OF_TEXTS[settings.labels]
