"""Which failures of a worker are worth another start, and what is told of those that every start would repeat."""

import errno
import re
import traceback

import torch
import torch.distributed as dist

from hone.tasks.errors import HoneError, TrainingError

LASTING = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}
"""Errors of a file system that are there at the next start too."""
CONNECTION = re.compile(
    r"gloo|NCCL|ProcessGroup|process group|peer|socket|connection|broken pipe|timed out|rendezvous", re.IGNORECASE
)
"""In what torch.distributed says to the workers that are left when another one has died."""
DEVICE = re.compile(r"CUDA error(?!: device-side assert)|CUBLAS|ECC", re.IGNORECASE)
"""A device that failed; but a failed assertion on it is the program's."""


def explained(error: Exception) -> HoneError | None:
    """What to tell of an error that every start of the workers would repeat; None where another start may go well:
    another worker, the network, a device or a disk failed, and not what is computed."""
    if isinstance(error, HoneError):
        return error
    if isinstance(error, OSError):
        # A ConnectionError is one too; those that are raised by hand have no number.
        lasting = error.errno in LASTING or isinstance(error, FileNotFoundError | PermissionError)
    elif isinstance(error, torch.OutOfMemoryError | MemoryError):
        return TrainingError(f"{_told(error)}: memory ran out; lower batch_size or raise accumulate")
    elif isinstance(error, RuntimeError):
        text = str(error)
        lasting = not (isinstance(error, dist.DistError) or CONNECTION.search(text) or DEVICE.search(text))
    else:
        lasting = True
    if not lasting:
        return None
    return TrainingError(f"{_told(error)}. Every start of the workers would repeat it, so there was no second one")


def _told(error: Exception) -> str:
    """`IndexError: index out of range in self (functional.py, line 2551)`: its type, its first lines and its place."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    text = f"{type(error).__name__}: {' '.join(lines[:3])[:600]}" if lines else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return text
    return f"{text} ({frames[-1].filename.rpartition('/')[2]}, line {frames[-1].lineno})"
