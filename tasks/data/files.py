"""Splits in files."""

from collections.abc import Iterator
from pathlib import Path

from configs.data import DataSettings
from tasks import store
from tasks.data.readers import READERS
from tasks.data.rows import SPLITS, BadRowLog, RawRow
from tasks.errors import DataError

ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class FileSource:
    """CSV, TSV, JSONL or Parquet, a file for each split that is given."""

    def __init__(self, settings: DataSettings) -> None:
        """Raises:
        DataError: naming every file that is absent, or whose format cannot be told.
        """
        self._settings = settings
        named = {split: str(getattr(settings, split)) for split in SPLITS}
        self._paths = {split: Path(name).expanduser() for split, name in named.items() if name}
        self.splits = list(self._paths)
        problems = [
            f"data.{split} = {path}: no such file (the working folder is {Path.cwd()}): name one that exists"
            for split, path in self._paths.items()
            if not path.is_file()
        ]
        if settings.format == "auto":
            problems += [
                f"data.{split} = {path}: the ending {path.suffix!r} names no format; known are {', '.join(ENDINGS)}: "
                f"rename the file, or set data.format to one of {', '.join(READERS)}"
                for split, path in self._paths.items()
                if path.suffix.lower() not in ENDINGS
            ]
        if problems:
            raise DataError("\n".join(problems))
        self.formats = {
            split: ENDINGS[path.suffix.lower()] if settings.format == "auto" else settings.format
            for split, path in self._paths.items()
        }

    def rows(self, split: str, bad: BadRowLog) -> Iterator[RawRow]:
        """Rows of one split, as they come."""
        return READERS[self.formats[split]](self._paths[split], self._settings, split, bad)

    def locate(self, split: str, line: int) -> str:
        """A line as a person finds it."""
        return f"{split}:{line}"

    def label_names(self) -> dict[str, str]:
        """Files know no names for their label values."""
        return {}

    def digests(self) -> dict[str, str]:
        """sha256 of each file's bytes."""
        return {f"{split} file": f"sha256:{store.file_digest(path)}" for split, path in self._paths.items()}
