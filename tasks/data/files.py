"""Splits in files."""

import glob
import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from hone.configs.data import DataSettings
from hone.tasks import store
from hone.tasks.contracts import BadRows
from hone.tasks.data.data_file import DataFile, known_encoding
from hone.tasks.data.readers import READERS, class_names
from hone.tasks.data.rows import SPLITS, BadRowLog, RawRow
from hone.tasks.errors import DataError

ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".conll": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".bio": "conll",
    ".json": "squad",
    ".txt": "txt",
    ".text": "txt",
}
PACKED_ENDINGS = (".gz", ".bz2", ".xz")
OF_TAGS = ("jsonl", "json", "parquet", "conll")
"""Formats that hold lists of words and tags."""
OF_DOCUMENTS = ("txt", "jsonl", "json", "parquet", "csv", "tsv")
"""Formats that hold documents."""
OF_MESSAGES = ("jsonl", "json", "parquet")
"""Formats that hold lists of messages."""
NOT_ROWS = ("_", ".")
"""Beginnings of names that a folder of shards holds beside them: _SUCCESS, .crc files."""


class FileSource:
    """CSV, TSV, JSONL, Parquet, CoNLL, SQuAD's JSON or plain text for each split that is given: a file, a folder or a
    pattern of names."""

    def __init__(self, settings: DataSettings) -> None:
        """Finds the files of each split, and their formats.

        Raises:
            DataError: naming every file that is absent, or whose format cannot be told.
        """
        self._settings = settings
        named = {split: str(getattr(settings, split)) for split in SPLITS}
        self._paths = {split: _found(name) for split, name in named.items() if name}
        self.splits = list(self._paths)
        problems = [
            f"data.{split} = {named[split]}: no such file (the working folder is {Path.cwd()}): name one that exists, "
            "a folder of such files, or a pattern such as data/*.parquet"
            for split, paths in self._paths.items()
            if not paths
        ]
        if settings.encoding != "auto" and not known_encoding(settings.encoding):
            problems.append(
                f"data.encoding = {settings.encoding}: Python knows no such encoding; try cp1252, latin-1 or gb18030"
            )
        if settings.format == "auto":
            problems += [
                f"data.{split} = {path}: the ending {path.suffix!r} names no format; known are {', '.join(ENDINGS)}: "
                f"rename the file, or set data.format to one of {', '.join(READERS)}"
                for split, paths in self._paths.items()
                for path in paths
                if not ending_format(path)
            ]
            mixed = {split: sorted({ending_format(path) for path in paths}) for split, paths in self._paths.items()}
            problems += [
                f"data.{split} = {named[split]}: files of several formats, {', '.join(formats)}: name those of one"
                for split, formats in mixed.items()
                if len(formats) > 1 and all(formats)
            ]
        if problems:
            raise DataError("\n".join(problems))
        self.formats = {
            split: ending_format(paths[0]) if settings.format == "auto" else settings.format
            for split, paths in self._paths.items()
        }
        if settings.conversations and settings.format == "auto":  # SQuAD's files hold none
            self.formats = {split: "json" if kind == "squad" else kind for split, kind in self.formats.items()}
        problems = [_mismatch(settings, split, named[split], format_) for split, format_ in self.formats.items()]
        if any(problems):
            raise DataError("\n".join(filter(None, problems)))
        self._starts: dict[str, list[int]] = {}
        self._read: dict[str, str] = {}

    def rows(self, split: str, bad: BadRowLog) -> Iterator[RawRow]:
        """Rows of one split, as they come. Of several files, each begins its lines where the one before ended them."""
        self._starts[split], files, last = [], [], 0
        log = _Shifted(bad)
        for path in self._paths[split]:
            start = last
            self._starts[split].append(start)
            log.by = start
            files.append(DataFile(path, self._settings.encoding))
            for row in READERS[self.formats[split]](files[-1], self._settings, split, log):
                last = start + row.line
                yield row if not start else row._replace(line=last)
            last = max(last, log.last)
        self._read[f"{split} file"] = _together([file.digest for file in files])

    def locate(self, split: str, line: int) -> str:
        """A line as a person finds it, with its file where there are several."""
        starts = self._starts.get(split, [0])
        index = bisect_right(starts, line - 1) - 1
        if len(self._paths[split]) == 1:
            return f"{split}:{line}"
        return f"{split}:{self._paths[split][index].name}:{line - starts[index]}"

    def label_names(self) -> dict[str, str]:
        """Names of tags by their numbers, which Parquet of Hugging Face datasets has. Files know no others."""
        named = self._settings.tokens_column and self.formats["train"] == "parquet"
        return class_names(self._paths["train"][0], self._settings.tags_column) if named else {}

    def digests(self) -> dict[str, str]:
        """sha256 of each split's bytes, whatever its files are called."""
        return {
            f"{split} file": _together([f"sha256:{store.file_digest(path)}" for path in paths])
            for split, paths in self._paths.items()
        }

    def read_digests(self) -> dict[str, str]:
        """The same of what `rows` has read to the end."""
        return dict(self._read)


class _Shifted(BadRowLog):
    """A log for one of several files, whose lines come after those of the files before."""

    def __init__(self, log: BadRowLog) -> None:
        self._log = log
        self.by = 0
        self.last = 0
        """The highest line of all that were added."""

    def add(self, kind: str, split: str, line: int) -> None:
        self.last = max(self.last, line + self.by)
        self._log.add(kind, split, line + self.by)

    def explain(self, kind: str, detail: str) -> None:
        self._log.explain(kind, detail)

    def contracts(self) -> list[BadRows]:
        return self._log.contracts()


def _found(name: str) -> list[Path]:
    """The files that a setting names; none where there are none."""
    path = Path(name).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        inside = [(file, file.relative_to(path).parts) for file in sorted(path.rglob("*")) if file.is_file()]
        return [file for file, parts in inside if not any(part.startswith(NOT_ROWS) for part in parts)]
    return [Path(file) for file in sorted(glob.glob(str(path), recursive=True)) if Path(file).is_file()]  # noqa: PTH207


def ending_format(path: Path) -> str:
    """Format that the ending names, before that of a packed file; empty where it names none."""
    bare = path.with_suffix("") if path.suffix.lower() in PACKED_ENDINGS else path
    return ENDINGS.get(bare.suffix.lower(), "")


def _mismatch(settings: DataSettings, split: str, name: str, format_: str) -> str:
    """Why a split's format cannot hold what the settings ask for; empty where it can."""
    if settings.tokens_column and format_ not in OF_TAGS:
        return (
            f"data.{split} = {name}: data.tokens_column is {settings.tokens_column!r}, and {format_} holds no lists of "
            f"words: use {', '.join(OF_TAGS)}"
        )
    if settings.document_column and format_ not in OF_DOCUMENTS:
        return (
            f"data.{split} = {name}: data.document_column is {settings.document_column!r}, and {format_} holds no "
            f"documents: use {', '.join(OF_DOCUMENTS)}"
        )
    if settings.messages_column and format_ not in OF_MESSAGES:
        return (
            f"data.{split} = {name}: data.messages_column is {settings.messages_column!r}, and {format_} holds no "
            f"lists of messages: use {', '.join(OF_MESSAGES)}"
        )
    own = {"txt": _mismatch_of_documents, "squad": _mismatch_of_squad, "conll": _mismatch_of_conll}
    return own[format_](settings, split, name) if format_ in own else ""


def _mismatch_of_conll(settings: DataSettings, split: str, name: str) -> str:
    if not settings.tokens_column:
        return (
            f"data.{split} = {name}: a CoNLL file holds words with tags: set data.tokens_column=tokens, or "
            "data.format if it is of another kind"
        )
    if settings.slice_columns:
        return (
            f"data.{split} = {name}: data.slice_columns is {settings.slice_columns}: CoNLL has columns of words alone"
        )
    return ""


def _mismatch_of_documents(settings: DataSettings, split: str, name: str) -> str:
    if not settings.document_column:
        return (
            f"data.{split} = {name}: plain text holds documents without labels, for task=text-generation: set "
            "data.document_column=text, or data.format if the file is of another kind"
        )
    if settings.slice_columns:
        return f"data.{split} = {name}: data.slice_columns is {settings.slice_columns}: plain text has no columns"
    return ""


def _mismatch_of_squad(settings: DataSettings, split: str, name: str) -> str:
    if not settings.context_column:
        return (
            f"data.{split} = {name}: a .json file is read as SQuAD's questions with answers: set "
            "data.context_column=context, or data.format=jsonl if it holds an object a line, =json if a list of them"
        )
    if settings.slice_columns:
        return (
            f"data.{split} = {name}: data.slice_columns is {settings.slice_columns}: SQuAD's files have no further "
            "columns"
        )
    return ""


def _together(digests: list[str]) -> str:
    """One digest of several files, whatever their order; of a single one, its own."""
    if len(digests) == 1:
        return digests[0]
    return f"sha256:{hashlib.sha256(' '.join(sorted(digests)).encode()).hexdigest()}"
