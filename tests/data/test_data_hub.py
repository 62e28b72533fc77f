"""Hugging Face datasets without a hub: saved on disk, and a local folder in place of a hub id."""

from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet

from hone.configs.data import DataSettings
from hone.tasks.data.hub import DatasetSource
from hone.tasks.data.prepare import prepare
from hone.tasks.data.preview import preview
from hone.tasks.data.rows import BadRowLog
from hone.tasks.data.source import open_source
from hone.tasks.errors import DataError, UnsafeFileError

SENTIMENT = datasets.Features(
    {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["negative", "positive"])}
)


def rows(count: int, prefix: str) -> dict[str, list[object]]:
    return {"text": [f"{prefix} {place}" for place in range(count)], "label": [place % 2 for place in range(count)]}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    splits = {"train": rows(40, "train"), "dev": rows(10, "dev"), "test": rows(10, "test")}
    made = datasets.DatasetDict({name: datasets.Dataset.from_dict(split, SENTIMENT) for name, split in splits.items()})
    made.save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


@pytest.fixture
def hub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of Parquet files, which load_dataset takes in place of a hub id."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "hub"
    folder.mkdir()
    for split, count in (("train", 40), ("test", 10)):
        parquet.write_table(pa.table(rows(count, split)), folder / f"{split}.parquet")
    return folder


def settings(dataset: Path | str, **more: object) -> DataSettings:
    return DataSettings.model_validate({"source": "saved", "dataset": str(dataset)} | more)


def test_a_saved_dataset_brings_its_splits_and_label_names(saved: Path, tmp_path: Path) -> None:
    chosen = settings(saved, validation_split="dev", test_split="test")
    prepared = prepare(open_source(chosen), chosen, 0, tmp_path / "out")
    assert prepared.rows == {"train": 40, "validation": 10, "test": 10}
    assert prepared.labels == ["negative", "positive"]


def test_tags_that_are_class_labels_have_their_names_from_a_saved_dataset_and_from_its_parquet(tmp_path: Path) -> None:
    names = ["O", "B-per", "I-per"]
    features = datasets.Features(
        {"words": datasets.List(datasets.Value("string")), "ner_tags": datasets.List(datasets.ClassLabel(names=names))}
    )
    sentences = {"words": [["Ann", "Lee", f"w{n}"] for n in range(20)], "ner_tags": [[1, 2, 0], [1, 2, 1]] * 10}
    made = datasets.Dataset.from_dict(sentences, features)
    made.save_to_disk(str(tmp_path / "saved"))
    made.to_parquet(str(tmp_path / "a.parquet"))
    columns = {"tokens_column": "words", "tags_column": "ner_tags"}
    from_saved = settings(tmp_path / "saved", **columns)
    from_file = settings("", source="files", train=str(tmp_path / "a.parquet"), **columns)
    both = [prepare(open_source(chosen), chosen, 0, tmp_path / "out") for chosen in (from_saved, from_file)]
    assert both[0] == both[1]
    assert both[0].labels == names
    assert sum(both[0].rows.values()) == 20


def test_a_saved_dataset_without_splits_is_the_training_split(tmp_path: Path) -> None:
    datasets.Dataset.from_dict(rows(40, "text"), SENTIMENT).save_to_disk(str(tmp_path / "single"))
    chosen = settings(tmp_path / "single")
    prepared = prepare(open_source(chosen), chosen, 0, tmp_path / "out")
    assert prepared.rows == {"train": 30, "validation": 6, "test": 4}


def test_a_class_label_below_zero_is_a_missing_one(tmp_path: Path) -> None:
    unlabelled = {"text": ["one", "two", "three"], "label": [0, -1, 1]}
    datasets.Dataset.from_dict(unlabelled, SENTIMENT).save_to_disk(str(tmp_path / "single"))
    source = DatasetSource(settings(tmp_path / "single"))
    assert [row.label for row in source.rows("train", BadRowLog(source.locate))] == [0, None, 1]


def test_an_absent_split_names_those_there(saved: Path) -> None:
    with pytest.raises(
        DataError, match=r"no such split: data.validation_split = 'valid'; its splits are train, dev, test"
    ):
        DatasetSource(settings(saved, validation_split="valid"))


def test_an_absent_column_of_a_dataset_names_those_seen(saved: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'sentence'; the columns seen are 'text', 'label'"):
        preview(settings(saved, text_column="sentence"))


def test_a_folder_that_is_no_saved_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a saved dataset"):
        DatasetSource(settings(tmp_path))
    with pytest.raises(DataError, match="no such folder"):
        DatasetSource(settings(tmp_path / "absent"))


def test_a_pickle_beside_a_saved_dataset_is_refused_by_name(saved: Path) -> None:
    (saved / "train" / "extra.pkl").write_bytes(b"")
    with pytest.raises(UnsafeFileError, match=r"refuses train/extra\.pkl"):
        DatasetSource(settings(saved))


def test_a_hub_dataset_is_read_by_load_dataset(hub_folder: Path, tmp_path: Path) -> None:
    chosen = settings(hub_folder, source="hub", test_split="test", label_names=["negative", "positive"])
    prepared = prepare(open_source(chosen), chosen, 0, tmp_path / "out")
    assert prepared.rows == {"train": 37, "validation": 3, "test": 10}


def test_a_look_at_a_hub_dataset_streams_its_first_rows_and_stores_none(hub_folder: Path, tmp_path: Path) -> None:
    looked = preview(settings(hub_folder, source="hub", test_split="test"), rows=15)
    assert looked.rows == {"train": 15, "test": 10}
    assert looked.labels == {"0": 8, "1": 7}
    assert not looked.complete
    assert not list((tmp_path / "cache").rglob("*.arrow"))


def test_the_digest_of_a_hub_dataset_follows_its_rows(hub_folder: Path) -> None:
    chosen = settings(hub_folder, source="hub", test_split="test")
    before = DatasetSource(chosen).digests()
    parquet.write_table(pa.table(rows(40, "other")), hub_folder / "train.parquet")
    after = DatasetSource(chosen).digests()
    assert before["train split"] != after["train split"]
    assert before["test split"] == after["test split"]


def test_the_digest_of_a_hub_dataset_does_not_follow_how_its_rows_are_cut(hub_folder: Path) -> None:
    chosen = settings(hub_folder, source="hub")
    whole = DatasetSource(chosen).digests()
    table = parquet.read_table(hub_folder / "train.parquet")
    parquet.write_table(table.append_column("unused", table["text"]), hub_folder / "train.parquet", row_group_size=7)
    assert DatasetSource(chosen).digests() == whole


def test_a_dataset_that_is_a_script_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "scripted"
    folder.mkdir()
    (folder / "scripted.py").write_text("raise RuntimeError('was run')")
    with pytest.raises(UnsafeFileError, match=r"asks to run its own code .* Hone runs none: convert it to Parquet"):
        DatasetSource(settings(folder, source="hub"))


def test_a_hub_that_cannot_be_reached_is_told() -> None:
    with pytest.raises(DataError, match=r"no-such-owner/no-such-set: cannot be loaded: .* local cache"):
        DatasetSource(settings("no-such-owner/no-such-set", source="hub"))
