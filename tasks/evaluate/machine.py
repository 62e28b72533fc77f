"""The machine that latencies were measured on, and how much else was going on there."""

import importlib.metadata
import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

import psutil

LIBRARIES = ("onnxruntime-gpu", "onnxruntime", "torch", "transformers", "tokenizers", "numpy", "scikit-learn")


def hardware() -> dict[str, Any]:
    """What makes a latency measured elsewhere another number: processor, cores this process may use, GPUs, system."""
    return {
        "cpu": _cpu_name(),
        "cores": cores(),
        "gpus": _gpu_names(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that are measured or measure; absent ones are left out."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


class BackgroundLoad:
    """How busy everything but this process's children was, from construction on."""

    def __init__(self) -> None:
        self._before = _busy_seconds(), _children_seconds(), time.monotonic()

    def share(self) -> float:
        """Share of the machine's processor time, 0..1. What it takes, the measured models did not get."""
        now = _busy_seconds(), _children_seconds(), time.monotonic()
        busy, children, wall = (after - before for after, before in zip(now, self._before, strict=True))
        available = wall * (psutil.cpu_count() or 1)
        return round(min(1.0, max(0.0, busy - children) / available), 3) if available > 0 else 0.0


def _busy_seconds() -> float:
    times = psutil.cpu_times()._asdict()
    # guest is part of user already.
    return sum(spent for kind, spent in times.items() if kind not in ("idle", "iowait", "guest", "guest_nice"))


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpu_names() -> list[str]:
    """Torch takes seconds to import, so it is asked only where the system has the device of a GPU."""
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return []
    import torch

    return [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
