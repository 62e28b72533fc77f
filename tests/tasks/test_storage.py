"""What is done in a bucket's mirror is sent, and what is not there is fetched, whole and checked."""

from pathlib import Path

import pytest

from hone.tasks import cache, storage, store
from hone.tasks.contracts import Artifact
from hone.tasks.errors import DamagedArtifactError, StorageError

PLACE = "s3://team/hone"


@pytest.fixture
def here(bucket: Path) -> Path:
    """This machine's mirror of the place."""
    return storage.folder_of(PLACE)


def another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Its mirror of the place, empty."""
    monkeypatch.setenv("HONE_MIRROR", str(tmp_path / "another"))
    return storage.folder_of(PLACE)


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_a_bucket_is_mirrored_and_a_folder_is_itself(here: Path, tmp_path: Path) -> None:
    assert here == tmp_path / "mirror" / "team" / "hone"
    assert storage.uri_of(here / "stages" / "x") == "s3://team/hone/stages/x"
    assert storage.folder_of("s3://team/hone/stages/x") == here / "stages" / "x"
    own = storage.folder_of(str(tmp_path / "own"))
    assert (own, storage.folder_of(storage.uri_of(own))) == (tmp_path / "own", tmp_path / "own")
    assert (storage.is_mirror(here), storage.is_mirror(own)) == (True, False)


@pytest.mark.parametrize("location", ["s3://", "s3://team/../other", "gs://team/hone"])
def test_what_is_no_place_is_refused_by_name(here: Path, location: str) -> None:
    with pytest.raises(StorageError, match=location):
        storage.folder_of(location)


def test_a_folder_is_sent_in_place_of_the_one_before(here: Path, bucket: Path) -> None:
    write(here / "a" / "sub", x="1")
    storage.send(write(here / "a", y="2"))
    (here / "a" / "y").unlink()
    storage.send(write(here / "a", z="3"))
    assert sorted(path.relative_to(bucket).as_posix() for path in bucket.rglob("*") if path.is_file()) == [
        "hone/a/sub/x",
        "hone/a/z",
    ]


def test_the_marker_is_sent_last(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    copy = storage._copy
    monkeypatch.setattr(storage, "_copy", lambda path, key, **how: (sent.append(path.name), copy(path, key, **how)))
    storage.send(write(here / "a", **{storage.MARKER: "{}", "zz": "1", "aa": "2"}))
    assert sent[-1] == storage.MARKER


def test_what_is_fetched_takes_the_place_of_what_is_here(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.send(write(here / "a", x="1"))
    there = another_machine(monkeypatch, tmp_path)
    write(there / "a", old="0")
    assert storage.fetch(there / "a")
    assert [(path.name, path.read_text()) for path in (there / "a").iterdir()] == [("x", "1")]
    assert not storage.fetch(there / "b")
    assert storage.fetch(there / "a" / "x")
    assert sorted(path.name for path in there.iterdir()) == ["a"]


def test_what_need_not_be_replaced_is_not_fetched(here: Path) -> None:
    storage.send(write(here / "a", x="1"))
    write(here / "a", x="2")
    assert storage.fetch(here / "a", unless=lambda path: (path / "x").read_text() == "2")
    assert (here / "a" / "x").read_text() == "2"


def test_files_are_fetched_by_name(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here / "a" / "deep", small="1", large="2")
    storage.send(write(here / "a", small="3"))
    there = another_machine(monkeypatch, tmp_path)
    storage.fetch_files(there / "a", {"small"})
    assert sorted(path.relative_to(there).as_posix() for path in there.rglob("*") if path.is_file()) == [
        "a/deep/small",
        "a/small",
    ]


def test_what_is_removed_is_gone_from_both(here: Path, bucket: Path) -> None:
    storage.send(write(here / "a", x="1"))
    storage.remove(here / "a")
    storage.remove(here / "a")
    assert not (here / "a").exists()
    assert not (bucket / "hone" / "a").exists()


def test_outside_of_a_mirror_nothing_is_sent_or_fetched(bucket: Path, tmp_path: Path) -> None:
    own = write(tmp_path / "own", x="1")
    storage.send(own)
    assert storage.fetch(own)
    assert not storage.fetch(tmp_path / "none")
    storage.remove(own)
    assert not own.exists()
    assert not list(bucket.iterdir())


def test_an_artifact_opens_on_another_machine_and_a_damaged_copy_is_fetched_again(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(here / "a", x="1")
    artifact = store.describe(folder, [])
    storage.send(folder)
    there = another_machine(monkeypatch, tmp_path)
    assert store.open_artifact(artifact) == there / "a"
    (there / "a" / "x").write_text("damaged")
    assert (store.open_artifact(artifact) / "x").read_text() == "1"


def test_a_bucket_that_has_something_else_is_found_out(here: Path, bucket: Path) -> None:
    folder = write(here / "a", x="1")
    artifact = store.describe(folder, [])
    storage.send(folder)
    (bucket / "hone" / "a" / "x").write_text("damaged")
    store.open_artifact(artifact)  # what is here is whole
    storage.fetch(folder)
    with pytest.raises(DamagedArtifactError, match=f"not {artifact.digest} as recorded"):
        store.open_artifact(artifact)
    with pytest.raises(DamagedArtifactError, match="absent"):
        store.open_artifact(Artifact(uri=f"{PLACE}/none", digest="sha256:0", size_bytes=0))


def test_a_result_is_found_by_whoever_shares_the_bucket(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_cache = cache.StageCache(here, "train", "demo")
    storage.send(write(stage_cache.place("k"), **{storage.MARKER: '{"contracts": 1, "a": 1}'}))
    stage_cache.record({"setting a": "1"})
    there = cache.StageCache(another_machine(monkeypatch, tmp_path), "train", "demo")
    assert there.find("k") == ({"a": 1}, "")
    assert there.find("other") == (None, "")
    assert there.previous() == {"setting a": "1"}


def test_a_result_that_was_finished_and_not_sent_is_sent_when_it_is_found(here: Path, bucket: Path) -> None:
    stage_cache = cache.StageCache(here, "train", "demo")
    write(stage_cache.place("k"), **{storage.MARKER: '{"contracts": 1}', "x": "1"})
    assert stage_cache.find("k") == ({}, "")
    assert (bucket / "hone" / "stages" / "train" / "k" / "x").read_text() == "1"


def test_a_store_that_does_not_answer_is_said_within_seconds_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    values = {"ENDPOINT_URL": "http://127.0.0.1:9", "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "y", "REGION": "r"}
    for name, value in values.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with pytest.raises(StorageError, match=r"s3://team/hone/.* cannot be read or written: .*AWS_ENDPOINT_URL"):
        storage.check(PLACE)
