"""What the driver computes on."""

from pathlib import Path

import pytest
import torch

from hone.tasks import device


@pytest.mark.parametrize(
    ("shown", "found", "expected"), [(False, True, "cpu"), (True, False, "cpu"), (True, True, "cuda")]
)
def test_a_gpu_counts_where_the_system_shows_one_and_torch_finds_it(
    monkeypatch: pytest.MonkeyPatch, shown: bool, found: bool, expected: str
) -> None:
    monkeypatch.setattr(Path, "glob", lambda _folder, _pattern: iter([Path("/dev/nvidia0")] if shown else []))
    monkeypatch.setattr(Path, "exists", lambda _path: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found)
    assert device.driver_device() == expected
