"""Cores are those that the container may use. The trees are what kernels show: version 2, version 1, and both."""

import os
from pathlib import Path

import pytest

from hone.tasks import cores


def tree(root: Path, membership: str, files: dict[str, str]) -> tuple[Path, Path]:
    """A fake /sys/fs/cgroup and /proc/self/cgroup."""
    for name, content in files.items():
        file = root / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (root / "cgroup").mkdir(exist_ok=True)
    (root / "membership").write_text(membership)
    return root / "cgroup", root / "membership"


V1 = "4:cpu,cpuacct:/docker/abc\n3:cpuset:/docker/abc\n0::/system.slice\n"


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        pytest.param("0::/\n", {"cpu.max": "400000 100000\n"}, 4.0, id="version 2, the container's own root"),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, None, id="version 2, no quota"),
        pytest.param("0::/\n", {}, None, id="no files"),
        pytest.param("", {}, None, id="no membership"),
        pytest.param(
            "0::/kubepods/pod1/c1\n",
            {
                "kubepods/pod1/c1/cpu.max": "300000 100000",
                "kubepods/pod1/cpu.max": "250000 100000",
                "kubepods/cpu.max": "max 100000",
            },
            2.5,
            id="version 2, the pod's quota is less than the container's",
        ),
        pytest.param("0::/docker/abc\n", {"cpu.max": "50000 100000\n"}, 0.5, id="version 2, the path is the host's"),
        pytest.param(
            V1,
            {
                "cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "150000\n",
                "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "50000",
            },
            3.0,
            id="version 1",
        ),
        pytest.param(
            V1,
            {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            2.0,
            id="version 1, the path is the host's and the mount's name is short",
        ),
        pytest.param(
            V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None, id="version 1, no quota"
        ),
        pytest.param(
            "4:cpuset:/\n0::/user\n",
            {"unified/user/cpu.max": "100000 100000", "cpuset/cpu.cfs_quota_us": "1", "cpuset/cpu.cfs_period_us": "1"},
            1.0,
            id="both, the quota in version 2",
        ),
    ],
)
def test_the_tightest_quota_is_found_wherever_it_stands(tmp_path, membership, files, expected):
    found = cores.tightest_quota(*tree(tmp_path, membership, files))
    assert (found and found.cores) == expected


@pytest.mark.parametrize(
    ("affinity", "quota", "expected"), [(64, 4.0, 4), (64, 2.5, 2), (64, 0.5, 1), (2, 8.0, 2), (3, None, 3)]
)
def test_cores_are_the_less_of_mask_and_quota_in_whole_ones(monkeypatch, affinity, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(affinity)), raising=False)
    monkeypatch.setattr(cores, "tightest_quota", lambda: quota and cores.Quota(quota, Path("none")))
    assert cores.usable_cores() == expected


def test_what_the_group_took_is_told_in_seconds_by_either_version(tmp_path):
    roots = tree(tmp_path / "2", "0::/\n", {"cpu.max": "1 1", "cpu.stat": "usage_usec 2500000\nuser_usec 1\n"})
    assert cores.tightest_quota(*roots).used_seconds() == 2.5
    files = {"cpu/cpu.cfs_quota_us": "1", "cpu/cpu.cfs_period_us": "1", "cpuacct/cpuacct.usage": "1500000000\n"}
    assert cores.tightest_quota(*tree(tmp_path / "1", V1, files)).used_seconds() == 1.5
    assert cores.Quota(1.0, tmp_path / "absent").used_seconds() is None
