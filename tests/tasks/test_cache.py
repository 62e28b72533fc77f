"""What makes a result reusable, and the reason given when it is not."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from tasks import cache


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


def _hold(folder: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with cache.Shelf(folder, "train", "t").lock("k"):
        ready.set()
        time.sleep(600)


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready))
    holder.start()
    assert ready.wait(60)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    with cache.Shelf(tmp_path, "train", "t").lock("k"):
        pass
