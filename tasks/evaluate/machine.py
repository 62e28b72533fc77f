"""The machine that latencies were measured on, and how much else was going on there."""

import importlib.metadata
import platform
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from hone.tasks.cores import allowed_processors, tightest_quota, usable_cores
from hone.tasks.device import driver_device

LIBRARIES = ("onnxruntime-gpu", "onnxruntime", "torch", "transformers", "tokenizers", "numpy", "scikit-learn")


def hardware() -> dict[str, Any]:
    """What makes a latency measured elsewhere another number: processor, cores this process may use, GPUs, system."""
    return {
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "gpus": _gpu_names(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that are measured or measure; absent ones are left out."""
    result = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            result[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return result


class BackgroundLoad:
    """How busy everything but this process's children was, from construction on."""

    def __init__(self) -> None:
        self._quota = tightest_quota()
        self._before = self._look()

    def share(self) -> float:
        """Share of the processor time that this process may use, 0..1, that others took: other processes on its
        processors, other machines on the same hardware, and whatever shares the quota of its container, whichever is
        more. What they took, the measured models did not get."""
        now = self._look()
        wall, children, busy, group = (after - before for after, before in zip(now, self._before, strict=True))
        if wall <= 0:
            return 0.0
        taken = (busy - children) / (wall * len(allowed_processors()))
        if self._quota:
            taken = max(taken, (group - children) / (wall * self._quota.cores))
        return round(min(1.0, max(0.0, taken)), 3)

    def _look(self) -> tuple[float, float, float, float]:
        group = self._quota.used_seconds() if self._quota else None
        return time.monotonic(), _children_seconds(), _busy_seconds(), group or 0.0


class QuietRounds:
    """Has each round of timing wait for a quiet machine, within one budget, and knows how quiet they were.

    Args:
        limit: largest share of the processor time, 0..1, that others may take; at 1 nothing is waited for.
        seconds: all rounds together wait no longer than this, and then go on as it is.
        tell: is called with what it waits for, at each look.
        look_seconds: how long a look at the machine takes.
    """

    def __init__(
        self,
        limit: float,
        seconds: float,
        tell: Callable[[str], None] = lambda note: None,
        look_seconds: float = 0.5,
    ) -> None:
        self.waited = 0.0
        """Seconds."""
        self._limit, self._seconds, self._tell, self._look_seconds = limit, seconds, tell, look_seconds
        self._rounds: list[tuple[float, float]] = []  # (share that others took, seconds)

    @contextmanager
    def round(self) -> Iterator[None]:
        """Around one round."""
        self._wait()
        load, began = BackgroundLoad(), time.monotonic()
        yield
        self._rounds.append((load.share(), time.monotonic() - began))

    def load(self) -> float:
        """Share of the processor time that others took, 0..1, over the rounds without the waiting."""
        total = sum(seconds for _, seconds in self._rounds)
        return round(sum(share * seconds for share, seconds in self._rounds) / total, 3) if total else 0.0

    def _wait(self) -> None:
        while self._limit < 1 and self.waited < self._seconds:
            began, load = time.monotonic(), BackgroundLoad()
            time.sleep(self._look_seconds)
            share = load.share()
            if share <= self._limit:
                return
            self.waited += time.monotonic() - began
            left = max(0.0, self._seconds - self.waited)
            self._tell(f"others take {share:.0%} of the machine: waiting for quiet, at most {left:.0f} s more")


def _busy_seconds() -> float:
    """Of the processors that this process may run on; time that a hypervisor gave to others counts as busy."""
    each = psutil.cpu_times(percpu=True)
    mine = [each[number] for number in allowed_processors() if number < len(each)] or each
    # guest is part of user already.
    idle = ("idle", "iowait", "guest", "guest_nice")
    return sum(spent for times in mine for kind, spent in times._asdict().items() if kind not in idle)


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _gpu_names() -> list[str]:
    if driver_device() == "cpu":
        return []
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
