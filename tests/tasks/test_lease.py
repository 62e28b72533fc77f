"""A lease is held by one, freed at once where its process is gone, and taken over where nobody renews it any more."""

import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from hone.tasks import disk, lease


def _hold(path: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with lease.held(path):
        ready.set()
        time.sleep(600)


def test_a_killed_process_frees_its_lease_at_once(tmp_path: Path) -> None:
    path, context = tmp_path / "k.lock", multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(path, ready))
    holder.start()
    assert ready.wait(60)
    assert not lease.is_free(path)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    waited: list[str] = []
    with lease.held(path, waited.append):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not list(tmp_path.iterdir())


def test_one_at_a_time_holds_it_and_who_waits_is_told_for_whom(tmp_path: Path) -> None:
    path, inside, most, told = tmp_path / "k.lock", [0], [0], []

    def work() -> None:
        with lease.held(path, told.append):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            inside[0] -= 1

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert (most, inside) == ([1], [0])
    assert told
    assert all(who.startswith(f"process {os.getpid()} on ") for who in told)


def other_machine(path: Path) -> None:
    path.write_text(json.dumps({"lease": "x", "machine": "another", "pid": os.getpid(), "started": 0.0}))


def test_another_machines_lease_holds_while_it_is_renewed_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "EXPIRES", 0.6)
    path = tmp_path / "k.lock"
    other_machine(path)
    until = time.monotonic() + 1.2

    def renew() -> None:
        while time.monotonic() < until:
            os.utime(path)
            time.sleep(0.1)

    renewing = threading.Thread(target=renew)
    renewing.start()
    with lease.held(path):
        assert time.monotonic() > until
    renewing.join()


def test_a_lease_that_nobody_can_read_expires_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "EXPIRES", 0.1)
    (tmp_path / "k.lock").write_text("")
    with lease.held(tmp_path / "k.lock"):
        assert not lease.is_free(tmp_path / "k.lock")
    assert lease.is_free(tmp_path / "k.lock")


def test_a_long_hold_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWS", 0.01)
    with lease.held(tmp_path / "k.lock"):
        os.utime(tmp_path / "k.lock", (0, 0))
        until = time.monotonic() + 5
        while (tmp_path / "k.lock").stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.01)
        assert time.time() - (tmp_path / "k.lock").stat().st_mtime < 60


def test_of_two_that_take_a_dead_lease_over_the_second_leaves_the_firsts(tmp_path: Path) -> None:
    path = tmp_path / "k.lock"
    other_machine(path)
    dead = lease._owner(path)
    with lease.held(tmp_path / "unused"):
        path.unlink()
        with lease.held(path):
            lease._break(path, dead)
            assert json.loads(path.read_text())["pid"] == os.getpid()
            assert lease._owner(path) != dead
    assert not list(tmp_path.iterdir())


def test_where_there_are_no_hard_links_a_file_that_must_not_be_there_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_arguments: object) -> None:
        raise OSError("no links")

    monkeypatch.setattr(os, "link", no_links)
    with lease.held(tmp_path / "k.lock"):
        assert not lease.is_free(tmp_path / "k.lock")
    assert not list(tmp_path.iterdir())


def test_what_a_kill_between_two_renames_took_away_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"best": "1", "new": "2"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(text)

    def killed(*_paths: Path) -> None:
        raise KeyboardInterrupt

    settle = disk.settle
    monkeypatch.setattr(disk, "settle", killed)
    with pytest.raises(KeyboardInterrupt):
        disk.replace_folder(tmp_path / "new", tmp_path / "best")
    monkeypatch.setattr(disk, "settle", settle)
    assert not (tmp_path / "best").exists()
    disk.recover(tmp_path / "best")
    assert (tmp_path / "best" / "x").read_text() == "1"
    disk.replace_folder(tmp_path / "new", tmp_path / "best")
    assert (tmp_path / "best" / "x").read_text() == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: (done.append(str(Path(f"/proc/self/fd/{handle}").readlink())), fsync(handle))
    )
    monkeypatch.setattr(Path, "replace", lambda self, place: (done.append("renamed"), replace(self, place))[1])
    disk.write_text(tmp_path / "a.json", "{}")
    assert done[0].startswith(f"{tmp_path}/a.json.")
    assert done[1:] == ["renamed", str(tmp_path)]
