"""What stages take is listed, checked and cleared away; what a run uses, and what nobody left behind, stays."""

import json
import os
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from hone.configs.recipe import RecipeError
from hone.flows.cache import parse_size, run_ls, run_prune, run_verify
from hone.tasks import cache, cache_room, disk, lease, store

OLD = time.time() - 10 * 86400


def result(place: Path, name: str, owner: str = "", size: int = 1000, age_days: float = 10.0) -> str:
    """A finished result; with an owner, its newest one."""
    ingredients = {"setting a": name}
    key = cache.key_of(ingredients)
    stage_cache = cache.StageCache(place, "train", owner)
    (place / "made" / "model").mkdir(parents=True)
    (place / "made" / "model" / "weights").write_bytes(name[:1].encode() * size)
    at = stage_cache.settle(key, place / "made")
    stage_cache.file(key, at, {"artifact": store.describe(at / "model", []).model_dump(mode="json")})
    if owner:
        stage_cache.record(ingredients)
    when = time.time() - age_days * 86400
    os.utime(stage_cache.place(key) / "result.json", (when, when))
    return key


def keys(place: Path) -> set[str]:
    return {entry.key for entry in cache_room.entries(place)}


def age(*paths: Path) -> None:
    for path in paths:
        for one in [*path.rglob("*"), path]:
            os.utime(one, (OLD, OLD), follow_symlinks=False)


def test_results_are_listed_with_their_recipes_the_longest_unused_first(tmp_path: Path) -> None:
    new, old = result(tmp_path, "new", "demo", age_days=1), result(tmp_path, "old")
    found = cache_room.entries(tmp_path)
    assert [(entry.key, entry.owners, entry.held) for entry in found] == [(old, [], False), (new, ["demo"], False)]
    assert all(entry.size_bytes > 1000 for entry in found)
    console = Console(file=StringIO(), width=200)
    assert run_ls(str(tmp_path), console) == "DONE"
    told = console.file.getvalue()
    assert all(word in told for word in ("no recipe", "demo", "10 days"))


def test_a_storage_that_is_not_there_is_no_empty_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(file=StringIO(), width=200)
    place = str(tmp_path / "nosuch")
    assert [run_ls(place, console), run_verify(place, console), run_prune(place, "", False, console)] == ["INVALID"] * 3
    assert capsys.readouterr().err.count("nosuch: no such storage: name the folder") == 3


def test_prune_takes_what_is_no_recipes_newest_and_then_the_longest_unused(tmp_path: Path) -> None:
    newest = result(tmp_path, "newest", "demo", age_days=20)
    other = result(tmp_path, "other", "second", age_days=3)
    unused = result(tmp_path, "unused", age_days=2)
    one = cache_room.entries(tmp_path)[0].size_bytes
    assert cache_room.prune(tmp_path, 3 * one + 100) == []
    assert len(cache_room.prune(tmp_path, 2 * one + 100, dry=True)) == 1
    assert keys(tmp_path) == {newest, other, unused}
    cache_room.prune(tmp_path, 2 * one + 100)
    assert keys(tmp_path) == {newest, other}
    cache_room.prune(tmp_path, one + 100)
    assert keys(tmp_path) == {other}


def test_what_a_run_uses_or_makes_is_not_taken_whatever_the_size(tmp_path: Path) -> None:
    used, unused, made = result(tmp_path, "used", "demo"), result(tmp_path, "unused"), result(tmp_path, "made")
    stage_cache = cache.StageCache(tmp_path, "train", "demo")
    with cache_room.using(tmp_path), stage_cache.lock(made):
        assert stage_cache.find(used)[0]
        cache_room.prune(tmp_path, 0)
        assert keys(tmp_path) == {used, made}
    cache_room.prune(tmp_path, 0)
    assert keys(tmp_path) == set()
    assert unused not in keys(tmp_path)


def test_what_died_runs_left_is_collected_and_nothing_else(tmp_path: Path) -> None:
    key = result(tmp_path, "kept", "demo", age_days=0)
    stage = tmp_path / "stages" / "train"
    [current] = [path for path in (stage / key).iterdir() if path.is_dir()]
    old = stage / key / ("0" * 16)
    mine, theirs = stage / "model.retired-mine", stage / key / "model"
    one, two, three = (digit * 24 for digit in "123")
    for folder in (stage / f"{one}.partial" / "scratch", stage / f"{two}.partial" / "scratch", old, mine, theirs):
        folder.mkdir(parents=True)
    left = [stage / f"x.json.{'a' * 32}.new", stage / f"y.{'b' * 32}.retired", stage / f"{three}.lock"]
    for path in left:
        path.write_text("{}")
    (mine / "result.json").write_text("{}")
    assert cache_room.left_over(tmp_path) == []  # just now written: somebody may be at it
    age(stage / f"{one}.partial", stage / f"{two}.partial", old, mine, theirs, *left)
    with lease.held(stage / f"{two}.lock"):
        age(stage / f"{two}.lock")
        gone = {path for _why, path, _size in cache_room.prune(tmp_path, None)}
    assert gone == {stage / f"{one}.partial", old, *left}
    assert all(path.is_dir() for path in (mine, theirs, current, stage / f"{two}.partial"))


def test_verify_names_what_is_damaged_or_cannot_be_read(tmp_path: Path) -> None:
    whole, damaged, torn = result(tmp_path, "whole"), result(tmp_path, "damaged"), result(tmp_path, "torn")
    assert run_verify(str(tmp_path), Console(file=StringIO())) == "DONE"
    next((tmp_path / "stages" / "train" / damaged).rglob("weights")).write_text("?")
    (tmp_path / "stages" / "train" / torn / "result.json").write_text("")
    outputs = tmp_path / "teacher_outputs" / ("0" * 24)
    outputs.mkdir(parents=True)
    (outputs / "manifest.json").write_text('{"digests": {"logits.npy": "0"}}')
    wrong = cache_room.verify(tmp_path)
    assert set(wrong) == {f"train/{damaged}", f"train/{torn}", f"teacher_outputs/{outputs.name}"}
    assert "logits.npy changed or absent" in wrong[f"teacher_outputs/{outputs.name}"]
    console = Console(file=StringIO(), width=300)
    assert run_verify(str(tmp_path), console) == "FAILED"
    assert "1 whole, 3 damaged; a run makes these again" in console.file.getvalue()
    assert whole not in console.file.getvalue()


def outputs(place: Path, name: str, owner: str = "", at: float = OLD) -> Path:
    """What a teacher said; with an owner, its newest."""
    ingredients = {"input teacher": name}
    folder = place / "teacher_outputs" / cache.key_of(ingredients)
    folder.mkdir(parents=True)
    (folder / "logits.npy").write_bytes(b"0" * 1000)
    (folder / "manifest.json").write_text('{"digests": {}}')
    os.utime(folder / "manifest.json", (at, at))
    if owner:
        disk.write_text(folder.parent / f"latest-{owner}.json", json.dumps(ingredients))
    return folder


def test_what_a_teacher_said_stays_for_each_recipes_newest_and_for_runs_that_use_it(tmp_path: Path) -> None:
    before, newest, other = outputs(tmp_path, "1"), outputs(tmp_path, "2", "demo"), outputs(tmp_path, "3", "other")
    made = result(tmp_path, "no recipe's")
    console = Console(file=StringIO(), width=200)
    assert run_ls(str(tmp_path), console) == "DONE"
    rows = {line.split()[1]: line for line in console.file.getvalue().splitlines() if "teacher_outputs" in line}
    assert "no recipe" in rows[before.name]
    assert "demo" in rows[newest.name]
    with cache_room.using(tmp_path):
        used = outputs(tmp_path, "4", at=time.time())
        assert cache_room.clear_outputs(tmp_path) > 1000
        assert keys(tmp_path) == {newest.name, other.name, used.name, made}
    with lease.held(used.with_name(f"{used.name}.lock")):
        assert cache_room.clear_outputs(tmp_path) == 0
    assert cache_room.clear_outputs(tmp_path) > 1000
    assert keys(tmp_path) == {newest.name, other.name, made}


def test_of_a_bucket_the_mirror_is_cleared_and_the_bucket_keeps_its_files(bucket: Path) -> None:
    from hone.tasks import storage

    place = storage.folder_of("s3://team/hone")
    place.mkdir(parents=True)
    key = result(place, "one")
    console = Console(file=StringIO(), width=300)
    assert run_prune("s3://team/hone", "1KB", False, console) == "DONE"
    assert "the bucket keeps the rest" in console.file.getvalue()
    assert keys(place) == set()
    assert (bucket / "hone" / "stages" / "train" / key / "result.json").is_file()
    assert cache.StageCache(place, "train", "").find(key)[0]


@pytest.mark.parametrize(("text", "size"), [("5GB", 5e9), ("500 mb", 5e8), ("2GiB", 2**31), ("0", 0), ("1.5T", 1.5e12)])
def test_a_size_is_read_as_people_write_it(text: str, size: float) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "5 apples", "-1GB", "5I"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="no size; write it as 5GB"):
        parse_size(text)
