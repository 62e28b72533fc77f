"""Where rows come from, whatever the kind of source."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from hone.configs.data import DataSettings
from hone.tasks.data.docstrings import DocstringSource
from hone.tasks.data.files import FileSource
from hone.tasks.data.hub import DatasetSource
from hone.tasks.data.rows import BadRowLog, RawRow

PLACES = ("train", "validation", "test", "format")
"""Settings that say where files lie. Their bytes and formats decide instead, so that a moved file is the same data."""


class Source(Protocol):
    """Labelled rows in one to three splits. Opening one checks that all it names is there."""

    @property
    def splits(self) -> Sequence[str]:
        """Splits that are given: always train."""
        ...

    def rows(self, split: str, bad: BadRowLog) -> Iterator[RawRow]:
        """Rows of a split; those that cannot be read are recorded and left out."""
        ...

    def locate(self, split: str, line: int) -> str:
        """Names a row's line to a person."""
        ...

    def label_names(self) -> dict[str, str]:
        """Names by label value, where the source has them."""
        ...

    def digests(self) -> dict[str, str]:
        """Digest of each part of the source's content, by name."""
        ...

    def read_digests(self) -> dict[str, str]:
        """The same, of the content that `rows` has read to its end."""
        ...


def open_source(settings: DataSettings, preview: bool = False) -> Source:
    """Opens the source that the settings name; with `preview`, so that its first rows come cheaply.

    Raises:
        DataError: when something that the settings name is not there.
        UnsafeFileError: when reading it would run code.
    """
    if settings.source == "files":
        return FileSource(settings)
    if settings.source == "docstrings":
        return DocstringSource(settings, preview)
    return DatasetSource(settings, preview)


def source_digests(settings: DataSettings) -> dict[str, str]:
    """Digest of each part of the source's content, by name: equal as long as there is nothing new to prepare.

    Raises:
        DataError: when something that the settings name is not there.
    """
    return open_source(settings).digests()


def deciding_settings(settings: DataSettings, source: Source) -> dict[str, Any]:
    """The settings that shape what is prepared, given the digests of the source."""
    plain = settings.model_dump(mode="json")
    if isinstance(source, FileSource):
        plain = {key: value for key, value in plain.items() if key not in PLACES} | {"format": source.formats}
    elif settings.source == "saved":
        del plain["dataset"]
    return plain
