"""The quick look of `hone check`."""

from pathlib import Path

import pytest

from hone.configs.data import DataSettings
from hone.tasks.data.preview import preview
from hone.tasks.errors import DataError


def csv(path: Path, rows: list[str]) -> str:
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return str(path)


def test_a_small_source_is_read_whole_and_counted(tmp_path: Path) -> None:
    rows = [f"text {place},{place % 3}" for place in range(30)]
    looked = preview(DataSettings(train=csv(tmp_path / "a.csv", rows), label_names=["a", "b", "c"]))
    assert looked.complete
    assert looked.rows == {"train": 30}
    assert looked.labels == {"a": 10, "b": 10, "c": 10}
    assert looked.bad_rows == []


def test_of_a_large_source_only_the_first_rows_are_read(tmp_path: Path) -> None:
    rows = [f"text {place},{place // 50}" for place in range(100)]
    looked = preview(DataSettings(train=csv(tmp_path / "a.csv", rows), label_names=["a", "b"]), rows=40)
    assert not looked.complete
    assert looked.labels == {"0": 40}  # the other label comes later, so names cannot be told yet


def test_more_labels_than_names_are_told_though_more_rows_follow(tmp_path: Path) -> None:
    rows = [f"text {place},{place % 3}" for place in range(100)]
    with pytest.raises(DataError, match=r"has 2 names \(a, b\), and the training split 3 label values"):
        preview(DataSettings(train=csv(tmp_path / "a.csv", rows), label_names=["a", "b"]), rows=40)


def test_too_many_bad_rows_among_the_first_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 of 2 rows \(50\.00%\) are unusable"):
        preview(DataSettings(train=csv(tmp_path / "a.csv", ["one,a", "two"])))


def test_a_split_without_rows_is_told(tmp_path: Path) -> None:
    train = csv(tmp_path / "a.csv", ["one,a", "two,b"])
    with pytest.raises(DataError, match="no usable row among the first 20,000 of test"):
        preview(DataSettings(train=train, test=csv(tmp_path / "b.csv", [])))


def test_labels_too_rare_to_split_are_told_before_anything_is_prepared(tmp_path: Path) -> None:
    rows = [f"text {place},{place}" for place in range(40)]
    with pytest.raises(DataError, match=r"0 has 1, 1 has 1, .* and 35 more, and each label needs 3"):
        preview(DataSettings(train=csv(tmp_path / "a.csv", rows)))


def test_the_docstring_corpus_is_looked_at_in_every_library() -> None:
    looked = preview(DataSettings(source="docstrings", libraries=["json", "email", "networkx"]))
    assert set(looked.labels) == {"json", "email", "networkx"}
    assert looked.labels["networkx"] == 200
    assert not looked.complete
