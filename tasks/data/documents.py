"""Documents that a language model learns to write: out of plain text, and gathered as tasks/data/clean.py does it.

A document stays as it is written but for the blanks at its ends, and its lines end in `\\n`: indentation and empty
lines are what a model of code or of lists has to learn. Where one ends in plain text, `data.document_end` says.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from hone.configs.data import DataSettings
from hone.tasks.data.clean import SCHEMA, Collected, Gathered, Unusable, as_text, normalize_label
from hone.tasks.data.data_file import DataFile
from hone.tasks.data.rows import SPLITS, BadRowLog, RawRow
from hone.tasks.errors import DataError

KINDS = ["document"]
"""Name of `label`, which is 0 of every document."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_txt(file: DataFile, settings: DataSettings, split: str, bad: BadRowLog) -> Iterator[RawRow]:
    """Documents of a plain text file, each with the line that it begins on. One with a line that is no text in the
    file's encoding is recorded whole.

    Raises:
        DataError: when the file is damaged, or is no text.
    """
    parts: list[bytes] = []
    first = 1
    with file.lines() as stream:
        for line, raw in enumerate(stream, start=1):
            if line == 1:
                raw = raw.removeprefix(BYTE_ORDER_MARK)  # noqa: PLW2901
            if settings.document_end == "blank line" and not raw.strip():
                if parts:
                    yield from _document(file, parts, first, split, bad)
                parts.clear()
                continue
            if not parts:
                first = line
            parts.append(raw)
    if parts or (settings.document_end == "file" and first == 1):
        yield from _document(file, parts, first, split, bad)
    file.explain(bad)


def collect_documents(
    rows: Iterable[RawRow],
    split: str,
    settings: DataSettings,
    bad: BadRowLog,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Collected:
    """Gathers the documents that have a text; the others are recorded.

    Args:
        on_rows: told now and then how many documents are gathered.
    """
    gathered = Gathered(SCHEMA, on_rows)
    for row in rows:
        try:
            text = as_written(as_text(row.text))
            if not text:
                raise Unusable("empty_text")
            parts = [normalize_label(as_text(value)) for value in row.slices]
        except Unusable as reason:
            bad.add(str(reason), split, row.line)
            continue
        gathered.add(text, None, 0, row.line, parts)
    return Collected(gathered.table(), KINDS)


def check_documents(rows: Mapping[str, int], settings: DataSettings) -> None:
    """Refuses documents, or conversations, that are too few to be split.

    Args:
        rows: documents by split that is given.

    Raises:
        DataError: when there are fewer training documents than splits that have to be made of them.
    """
    absent = [split for split in SPLITS if split not in rows]
    if rows["train"] > len(absent):
        return
    ways = [
        f"add {'conversations' if settings.conversations else 'documents'}",
        *(f"give data.{split}" for split in absent),
    ]
    what = "conversations" if settings.conversations else "documents"
    if settings.source == "files" and settings.document_column and settings.document_end == "file":
        ways.append("of plain text that holds several in a file, set data.document_end='blank line'")
    raise DataError(
        f"there are {rows['train']} training {what}, and {' and '.join(['training', *absent])} need one each: "
        + ", or ".join(ways)
    )


def as_written(text: str) -> str:
    """A document with `\\n` at the ends of its lines and without blanks around it. Idempotent."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _document(file: DataFile, parts: list[bytes], first: int, split: str, bad: BadRowLog) -> Iterator[RawRow]:
    raw = b"".join(parts)
    try:
        yield RawRow(first, raw.decode(), None, None)
    except UnicodeDecodeError:
        file.undecodable(raw)
        bad.add("undecodable", split, first)
