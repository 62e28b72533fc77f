import subprocess
import sys
import time

from hone.tasks.evaluate import machine


def test_hardware_is_the_same_when_asked_twice():
    assert machine.hardware() == machine.hardware()
    assert machine.hardware()["cpu"]
    assert machine.hardware()["cores"] >= 1


def test_versions_name_python_and_the_runtime_that_is_installed():
    found = machine.versions()
    assert found["python"].startswith("3.")
    assert "onnxruntime" in found or "onnxruntime-gpu" in found
    assert "torch" in found


def test_what_the_measured_processes_take_is_not_background():
    busy = "import time\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"
    load, began = machine.BackgroundLoad(), time.monotonic()
    before = machine._busy_seconds()
    subprocess.run([sys.executable, "-c", busy], check=True)
    all_of_it = (machine._busy_seconds() - before) / (time.monotonic() - began) / len(machine.allowed_processors())
    assert 0 <= load.share() < all_of_it


def test_a_busy_machine_is_waited_for_within_one_budget_and_then_timed_as_it_is(monkeypatch):
    loads = iter([0.9, 0.5, 0.1, 0.3, 0.8, 0.8, 0.8, 0.6])
    monkeypatch.setattr(machine.BackgroundLoad, "share", lambda _self: next(loads))
    clock = Clock(monkeypatch)
    told: list[str] = []
    quiet = machine.QuietRounds(0.2, 4.0, told.append, look_seconds=1.0)
    with quiet.round():  # 90 % and 50 %, then quiet
        clock.now += 30
    assert quiet.waited == 2.0
    with quiet.round():  # 80 % for the rest of the budget
        clock.now += 10
    assert quiet.waited == 4.0
    assert told[0] == "others take 90% of the machine: waiting for quiet, at most 3 s more"
    assert len(told) == 4
    assert quiet.load() == round((0.3 * 30 + 0.8 * 10) / 40, 3)


def test_where_any_load_is_taken_nothing_is_waited_for(monkeypatch):
    clock = Clock(monkeypatch)
    for quiet in (machine.QuietRounds(1.0, 100.0), machine.QuietRounds(0.2, 0.0)):
        with quiet.round():
            pass
        assert (quiet.waited, clock.now) == (0.0, 0.0)


def test_what_shares_the_containers_quota_is_background_though_the_machine_is_large(monkeypatch):
    """Of 64 processors nothing is felt, of a quota of 2 cores three quarters are gone."""
    clock = Clock(monkeypatch)
    monkeypatch.setattr(machine, "allowed_processors", lambda: list(range(64)))
    monkeypatch.setattr(machine, "_busy_seconds", lambda: 1.5 * clock.now + 0.2)
    monkeypatch.setattr(machine, "tightest_quota", lambda: SharedQuota(clock))
    load = machine.BackgroundLoad()
    clock.now += 10
    assert load.share() == 0.75


class Clock:
    """A clock that only sleeping and the test move."""

    def __init__(self, monkeypatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(machine.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(machine.time, "sleep", self.sleep)
        monkeypatch.setattr(machine, "_children_seconds", lambda: 0.0)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class SharedQuota:
    """2 cores, of which the group's other processes take 1.5."""

    cores = 2.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def used_seconds(self) -> float:
        return 1.5 * self._clock.now
