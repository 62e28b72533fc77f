"""The processor cores that this process may use: not those that the machine has, nor those that it sees.

A container is held to its share in two ways. An affinity mask names the cores it may run on; a quota of its control
group says how much processor time it gets in all, on whichever cores, and neither the mask nor any library's count
tells of it. More threads than that are stopped again and again in the middle of a call.
"""

import os
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Quota:
    """What a control group lets its processes take together."""

    cores: float
    """Processor seconds a second."""
    usage: Path
    """File that tells what its processes took so far."""

    def used_seconds(self) -> float | None:
        """Processor seconds that the group's processes took so far; None where the system does not tell."""
        text = _read(self.usage)
        if self.usage.name == "cpu.stat":
            told = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
            return int(told["usage_usec"]) / 1e6 if "usage_usec" in told else None
        return int(text) / 1e9 if text.strip().isdigit() else None


def usable_cores() -> int:
    """Whole cores, at least 1: the affinity mask's, or the quota's where that is less. Of 2.5 cores, 2 can compute
    without being stopped."""
    allowed, quota = len(allowed_processors()), tightest_quota()
    return max(1, min(allowed, int(quota.cores))) if quota else allowed


def allowed_processors() -> list[int]:
    """Numbers of the processors that the affinity mask names."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def tightest_quota(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> Quota | None:
    """The smallest quota of this process's group and of the groups around it; None where there is none.

    Args:
        cgroups: where control groups are mounted: version 2 as a whole or below `unified`, version 1 by controller.
        membership: tells which group this process is in, by controller.
    """
    found: list[Quota] = []
    groups = _groups(membership)
    for root in (cgroups, cgroups / "unified"):
        for folder in _upwards(root, groups.get("", "/")):
            limit, period = (*_read(folder / "cpu.max").split(), "", "")[:2]
            found += _quota(limit, period, folder / "cpu.stat")
    for name, group in groups.items():
        if "cpu" not in name.split(","):
            continue
        # Where the quota stands, what is used stands too, unless the two controllers are mounted apart.
        for mount in dict.fromkeys((name, "cpu,cpuacct", "cpu")):
            for folder in _upwards(cgroups / mount, group):
                limit, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
                usage = folder / "cpuacct.usage"
                if not usage.exists():
                    usage = cgroups / "cpuacct" / folder.relative_to(cgroups / mount) / "cpuacct.usage"
                found += _quota(limit.strip(), period.strip(), usage)
    return min(found, key=lambda quota: quota.cores, default=None)


def _quota(limit: str, period: str, usage: Path) -> list[Quota]:
    """None of `max`, of version 1's -1, and of files that are not there."""
    if not limit.isdigit() or not period.isdigit() or int(period) == 0:
        return []
    return [Quota(int(limit) / int(period), usage)]


def _groups(membership: Path) -> dict[str, str]:
    """Paths of this process's groups: of version 2 under an empty name, of version 1 by controllers, `cpu,cpuacct`."""
    lines = [line.split(":", 2) for line in _read(membership).splitlines()]
    return {parts[1]: parts[2] for parts in lines if len(parts) == 3}


def _upwards(root: Path, group: str) -> list[Path]:
    """The group's folder and those around it up to the root. A container that sees only its own groups finds them at
    the root, whatever the path says."""
    parts = [part for part in group.split("/") if part not in ("", "..")]
    return [root.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""
