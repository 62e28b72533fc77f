"""Artifacts are named by content, appear whole, and are checked when read."""

from pathlib import Path

import pytest

from hone.tasks import store
from hone.tasks.contracts import Artifact
from hone.tasks.errors import DamagedArtifactError, StorageError, UnsafeFileError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "sub" / "b.txt").write_text("bb")
    return folder


def test_the_digest_is_of_names_and_contents_not_of_the_place(folder: Path, tmp_path: Path) -> None:
    before = store.folder_digest(folder)
    moved = folder.rename(tmp_path / "elsewhere")
    assert store.folder_digest(moved) == before
    (moved / "a.txt").rename(moved / "c.txt")
    assert store.folder_digest(moved) != before


def test_an_artifact_counts_its_bytes_and_opens_where_it_lies(folder: Path) -> None:
    artifact = store.describe(folder, ["sha256:0"])
    assert artifact.size_bytes == 3
    assert store.open_artifact(artifact) == folder


def test_a_changed_file_is_refused_with_both_digests(folder: Path) -> None:
    artifact = store.describe(folder, [])
    (folder / "a.txt").write_text("z")
    with pytest.raises(DamagedArtifactError, match=f"not {artifact.digest} as recorded; run with --fresh"):
        store.open_artifact(artifact)


def test_an_absent_artifact_is_refused(tmp_path: Path) -> None:
    artifact = Artifact(uri=(tmp_path / "gone").as_uri(), digest="sha256:0", size_bytes=0)
    with pytest.raises(DamagedArtifactError, match="absent, though sha256:0 is recorded there"):
        store.open_artifact(artifact)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "x.PKL", "y.ckpt", "z.joblib", "w.pickle", "v.pth"])
def test_a_pickle_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\x80\x04.")
    with pytest.raises(UnsafeFileError, match=f"refuses {name}: a pickle runs code"):
        store.open_artifact(store.describe(folder, []))


def test_storage_of_another_kind_is_refused() -> None:
    with pytest.raises(StorageError, match="'ftp://host/x' is neither a folder nor s3://BUCKET/PREFIX"):
        store.local_path(Artifact(uri="ftp://host/x", digest="", size_bytes=0))


def test_a_folder_is_replaced_whole(folder: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    (new / "only.txt").write_text("x")
    store.replace_folder(new, folder)
    assert [path.name for path in folder.iterdir()] == ["only.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_a_copy_replaces_what_was_there(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    target.mkdir()
    (target / "old").write_text("old")
    store.copy_folder(folder, target)
    assert store.folder_digest(target) == store.folder_digest(folder)


def test_text_is_written_beside_and_renamed(tmp_path: Path) -> None:
    store.write_text(tmp_path / "deep" / "x.json", "{}")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.json"]
