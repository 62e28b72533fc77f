"""Hugging Face datasets, by hub id or saved on disk. `datasets` costs a second to import, so it waits for the first."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hone.configs.data import DataSettings
from hone.tasks import store
from hone.tasks.data.readers import BATCH_ROWS, rows_of_batches
from hone.tasks.data.rows import BadRowLog, RawRow
from hone.tasks.errors import DataError, UnsafeFileError


class DatasetSource:
    """Splits of a Hugging Face dataset. No code of a dataset's repository is ever run."""

    def __init__(self, settings: DataSettings, preview: bool = False) -> None:
        """With `preview`, a hub dataset is streamed, so that a look at its first rows downloads no more than those.

        Raises:
            DataError: when the dataset, or one of its splits, is not there.
            UnsafeFileError: when the dataset is a script, or a pickle lies beside a saved one.
        """
        self._settings = settings
        loaded = _load_saved(settings) if settings.source == "saved" else _load_hub(settings, preview)
        expected = {
            "train": settings.train_split,
            "validation": settings.validation_split,
            "test": settings.test_split,
        }
        absent = [f"data.{split}_split = {name!r}" for split, name in expected.items() if name and name not in loaded]
        if absent:
            raise DataError(
                f"{settings.dataset}: no such split: {', '.join(absent)}; its splits are {', '.join(map(str, loaded))}"
            )
        self._tables = {split: loaded[name] for split, name in expected.items() if name}
        self.splits = list(self._tables)

    def rows(self, split: str, bad: BadRowLog) -> Iterator[RawRow]:
        """Rows of one split, numbered from 1. A class label below 0 stands for none, as it does on the hub."""
        named = bool(self.label_names())
        for row in rows_of_batches(self._batches(split), f"{self._settings.dataset}, {split} split", self._settings):
            yield row._replace(label=None) if named and isinstance(row.label, int) and row.label < 0 else row

    def locate(self, split: str, line: int) -> str:
        """A row as a person finds it."""
        return f"{split}:{line}"

    def label_names(self) -> dict[str, str]:
        """Names by value, where the label, or each tag, is a ClassLabel."""
        feature = (self._tables["train"].features or {}).get(self._settings.target_column)
        feature = getattr(feature, "feature", feature)  # of a list, that of its values
        return {str(value): name for value, name in enumerate(getattr(feature, "names", None) or [])}

    def digests(self) -> dict[str, str]:
        """sha256 of a saved dataset's files, or of the rows of a hub dataset."""
        if self._settings.source == "saved":
            return {"saved dataset": store.folder_digest(Path(self._settings.dataset).expanduser())}
        return {f"{split} split": self._content(split) for split in self.splits}

    def read_digests(self) -> dict[str, str]:
        """The same once more of a saved dataset; nothing rewrites the cache that a hub dataset lies in."""
        return self.digests() if self._settings.source == "saved" else {}

    def _content(self, split: str) -> str:
        """Digest of the values of the columns that are used, however they are cut into batches and files."""
        total = hashlib.sha256(repr(self.label_names()).encode())
        for row in rows_of_batches(self._batches(split), f"{self._settings.dataset}, {split} split", self._settings):
            total.update(f"{row!r}\n".encode())
        return f"sha256:{total.hexdigest()}"

    def _batches(self, split: str) -> Iterator[Any]:
        batches: Iterator[Any] = self._tables[split].with_format("arrow").iter(batch_size=BATCH_ROWS)
        return batches


def _load_saved(settings: DataSettings) -> dict[str, Any]:
    import datasets

    folder = Path(settings.dataset).expanduser()
    if not folder.is_dir():
        raise DataError(f"data.dataset = {folder}: no such folder; name one that Dataset.save_to_disk wrote")
    store.refuse_pickles(folder)
    try:
        loaded = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"data.dataset = {folder}: not a saved dataset: {error}; Dataset.save_to_disk writes one"
        ) from error
    return {settings.train_split: loaded} if isinstance(loaded, datasets.Dataset) else dict(loaded)


def _load_hub(settings: DataSettings, preview: bool) -> dict[str, Any]:
    import datasets

    # Offline nothing but the cache is there, and that cannot be streamed.
    streaming = preview and (Path(settings.dataset).is_dir() or not datasets.config.HF_HUB_OFFLINE)
    try:
        return dict(datasets.load_dataset(settings.dataset, settings.dataset_config or None, streaming=streaming))
    except RuntimeError as error:
        if "script" not in str(error):
            raise DataError(f"data.dataset = {settings.dataset}: {error}") from error
        raise UnsafeFileError(
            f"data.dataset = {settings.dataset}: asks to run its own code ({error}), and Hone runs none: "
            "convert it to Parquet and name the files with data.source=files"
        ) from error
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"data.dataset = {settings.dataset}: cannot be loaded: {error}; check the id and data.dataset_config, "
            "and that the hub is reachable or the dataset in the local cache"
        ) from error
