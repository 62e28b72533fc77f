"""What makes a result reusable, and the reason given when it is not."""

import re
from pathlib import Path

import pytest

from hone.tasks import cache


def test_the_same_ingredients_have_the_same_key_in_any_order() -> None:
    assert cache.key_of({"a": "1", "b": "2"}) == cache.key_of({"b": "2", "a": "1"})


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        (None, {}, "first run of this stage"),
        ({"setting train.epochs": "3"}, {"setting train.epochs": "2"}, "train.epochs 3 -> 2"),
        ({}, {"setting train.epochs": "2"}, "train.epochs absent -> 2"),
        ({"input data": "a"}, {"input data": "b"}, "input changed: data"),
        ({"code tasks/x.py": "a"}, {"code tasks/x.py": "b"}, "code changed: tasks/x.py"),
        ({"library torch": "2.12"}, {"library torch": "2.13"}, "library torch 2.12 -> 2.13"),
        ({"input data": "a"}, {"input data": "a"}, "its result is no longer there"),
    ],
)
def test_the_reason_names_what_changed(before: dict[str, str] | None, now: dict[str, str], reason: str) -> None:
    assert cache.explain(before, now) == reason


def test_a_long_list_of_reasons_is_cut_and_counted() -> None:
    before = {f"setting s{i}": "1" for i in range(8)}
    assert cache.explain(before, dict.fromkeys(before, "2")).endswith("and 3 more")


@pytest.mark.parametrize("torn", ["", "{", "[]", "\x00\x00", '"text"'])
def test_what_cannot_be_read_is_not_there_and_is_told(tmp_path: Path, torn: str) -> None:
    stage_cache = cache.StageCache(tmp_path, "train", "demo")
    stage_cache.record({"setting a": "1"})
    stage_cache.file("k", stage_cache.place("k"), {"a": 1})
    assert stage_cache.find("k") == ({"a": 1}, "")
    assert stage_cache.why({"setting a": "2"}) == "a 1 -> 2"
    (stage_cache.place("k") / "result.json").write_text(torn)
    (tmp_path / "stages" / "train" / "latest-demo.json").write_text(torn)
    found, reason = stage_cache.find("k")
    assert found is None
    assert re.match(r"unreadable: .*/k/result\.json.*; made again$", reason)
    assert stage_cache.previous() is None
    assert re.match(r"unreadable: .*/latest-demo\.json.*; made again$", stage_cache.why({}))


def test_what_was_written_under_other_contracts_is_not_there(tmp_path: Path) -> None:
    stage_cache = cache.StageCache(tmp_path, "train", "demo")
    stage_cache.file("k", stage_cache.place("k"), {"contracts": 0})
    assert re.search("was written under contracts 0, and these are 1; made again", stage_cache.find("k")[1])
    (stage_cache.place("k") / "result.json").write_text("{}")  # by Hone before contracts had a version
    assert re.search("under contracts None", stage_cache.find("k")[1])
