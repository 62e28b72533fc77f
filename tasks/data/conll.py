"""Sentences out of CoNLL files: a word a line with its columns, the tag among them; a blank line ends a sentence.

A sentence with a faulty line is recorded once, on the first such line, and left out whole.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice

from hone.configs.data import DataSettings
from hone.tasks.data.data_file import DataFile
from hone.tasks.data.rows import BadRowLog, RawRow
from hone.tasks.errors import DataError

DOCUMENT = "-DOCSTART-"
COMMENT = "# "
TAG = re.compile(r"O|[A-Za-z]-\S+")
LINES_LOOKED_AT = 1000
"""Most of these say what separates columns, and how many there are."""
MOSTLY = 0.9
"""Of the lines of a file without a known ending, if it is CoNLL."""
SEPARATORS = re.compile(r"[ \t]+")  # and no other blanks, which words may hold
BYTE_ORDER_MARK = "\ufeff"

Line = tuple[int, str | None]
"""Its number, and its text without its end, empty where it is blank; None where it cannot be decoded."""


def read_conll(file: DataFile, settings: DataSettings, split: str, bad: BadRowLog) -> Iterator[RawRow]:
    """Sentences as a list of words and one of tags, with the line on which they begin.

    Columns are separated by tabs or by blanks, whichever most lines have; between tabs, a word may hold blanks. Without
    `data.columns` the first column is the word and the last one the tag. Lines of -DOCSTART- part sentences too, and
    comments (`# ...`) before a sentence are passed over.

    Raises:
        DataError: when most lines have one column, or not those that `data.columns` names.
    """
    lines = _lines(file)
    head = list(islice(lines, LINES_LOOKED_AT))
    columns = _Columns([line for _number, line in head if _is_word(line)], settings, str(file.path))
    sentence: list[Line] = []
    blanks: list[int] = []
    for number, line in chain(head, lines):
        if line is None or _is_word(line):
            bad.add_all("empty_sentence", split, blanks[1:])
            blanks = []
            if sentence or line is None or not _is_comment(line):
                sentence.append((number, line))
            continue
        yield from _rows(sentence, columns, split, bad)
        sentence = []
        blanks = [] if line else [*blanks, number]
    yield from _rows(sentence, columns, split, bad)
    if sentence:
        bad.add("no_final_blank_line", split, sentence[-1][0])
    file.explain(bad)


def looks_like_conll(file: DataFile) -> bool:
    """Whether the first lines are words with tags at their ends, and sentences with blank lines between them."""
    lines = [line for _number, line in islice(_lines(file), LINES_LOOKED_AT) if line is not None]
    fields = [SEPARATORS.split(line.strip()) for line in lines if _is_word(line) and not _is_comment(line)]
    tagged = sum(len(several) > 1 and TAG.fullmatch(several[-1]) is not None for several in fields)
    return "" in lines and bool(fields) and tagged >= MOSTLY * len(fields)


def _rows(sentence: list[Line], columns: "_Columns", split: str, bad: BadRowLog) -> Iterator[RawRow]:
    """The sentence, unless it is empty or one of its lines is faulty."""
    words: list[str] = []
    tags: list[str] = []
    for number, line in sentence:
        fields = "undecodable" if line is None else columns.split(line)
        if isinstance(fields, str):
            bad.add(fields, split, number)
            return
        words.append(fields[0])
        tags.append(fields[1])
    if words:
        yield RawRow(sentence[0][0], words, None, tags)


class _Columns:
    """How the lines of a file are split."""

    def __init__(self, lines: list[str | None], settings: DataSettings, where: str) -> None:
        """`lines` are the first ones that hold words."""
        known = [line for line in lines if line]
        self._by_tabs = 2 * sum("\t" in line for line in known) > len(known)
        counts = Counter(len(self._fields(line)) for line in known)
        seen = counts.most_common(1)[0][0] if counts else 2
        names = settings.columns
        if names and len(names) != seen:
            raise DataError(
                f"{where}: most lines have {seen} columns, and data.columns names {len(names)} ({', '.join(names)}): "
                "name each of them, or leave it empty where the first is the word and the last the tag"
            )
        if seen < 2:
            raise DataError(
                f"{where}: most lines have one column, {known[0][:40]!r}: a CoNLL file has a word a line and, behind a "
                "tab or a blank, its tag; set data.format if it is of another kind"
            )
        self._count = seen
        self._word = names.index(settings.tokens_column) if names else 0
        self._tag = names.index(settings.tags_column) if names else seen - 1

    def split(self, line: str) -> tuple[str, str] | str:
        """Word and tag, or the kind of the line's fault."""
        fields = self._fields(line)
        mixed = not self._by_tabs and "\t" in line.strip()
        if len(fields) != self._count or mixed:
            in_parts = SEPARATORS.split(line.strip(" \t"))
            return "mixed_separators" if len(in_parts) == self._count else "wrong_field_count"
        word, tag = fields[self._word], fields[self._tag]
        if not word:
            return "empty_text"
        return (word, tag) if tag else "missing_label"

    def _fields(self, line: str) -> list[str]:
        if self._by_tabs:
            return [field.strip(" ") for field in line.rstrip(" \t").split("\t")]
        return SEPARATORS.split(line.strip(" \t"))


def _is_word(line: str | None) -> bool:
    """Whether the line neither ends a sentence nor is unreadable."""
    return bool(line) and not str(line).startswith(DOCUMENT)


def _is_comment(line: str) -> bool:
    return line.startswith(COMMENT) and not TAG.fullmatch(SEPARATORS.split(line.rstrip())[-1])


def _lines(file: DataFile) -> Iterator[Line]:
    with file.lines() as stream:
        for number, raw in enumerate(stream, start=1):
            try:
                text = raw.decode().rstrip("\r\n")
            except UnicodeDecodeError:
                file.undecodable(raw)
                yield number, None
                continue
            if number == 1:
                text = text.removeprefix(BYTE_ORDER_MARK)
            yield number, text if text.strip(" \t") else ""
