"""Where this process computes: what the driver does itself, beside the workers, asks here."""

import functools
from pathlib import Path
from typing import Literal


def driver_device() -> Literal["cuda", "cpu"]:
    """cuda where torch finds a GPU. Torch takes seconds to import, and is asked only where the system shows the device
    of a GPU: a run that finds everything finished needs this for the keys of its stages."""
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@functools.cache
def computes_bf16(device: str) -> bool:
    """Whether the hardware multiplies in bf16 itself. A CPU without it imitates it: 8 times slower than fp32, measured
    on one with AVX2.

    Args:
        device: cuda or cpu.
    """
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(there and name.endswith("bf16") for name, there in torch.cpu.get_capabilities().items())
