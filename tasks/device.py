"""Where this process computes: what the driver does itself, beside the workers, asks here."""

from pathlib import Path
from typing import Literal


def driver_device() -> Literal["cuda", "cpu"]:
    """cuda where torch finds a GPU. Torch takes seconds to import, and is asked only where the system shows the device
    of a GPU: a run that finds everything finished needs this for the keys of its stages."""
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
