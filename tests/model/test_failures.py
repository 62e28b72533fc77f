"""What every start of the workers would repeat is told at once; what another start may not meet is tried again."""

import errno

import pytest
import torch
import torch.distributed as dist

from hone.tasks import cluster
from hone.tasks.errors import ModelError, TrainingError
from hone.tasks.model.training.failures import explained


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.mark.parametrize(
    "error",
    [
        TypeError("unsupported operand"),
        IndexError("index out of range in self"),
        KeyError("labels"),
        ValueError("x"),
        RuntimeError("The size of tensor a (5) must match the size of tensor b (4)"),
        RuntimeError("CUDA error: device-side assert triggered"),
        FileNotFoundError("/no/such/file"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_an_error_of_what_is_computed_is_told_by_its_type_message_and_place(error):
    found = explained(raised(error))
    assert isinstance(found, TrainingError)
    assert str(found).startswith(f"{type(error).__name__}: ")
    assert "(test_failures.py, line " in str(found)
    assert str(error).splitlines()[0].strip("'") in str(found)
    assert "Every start of the workers would repeat it" in str(found)
    assert "memory" not in str(found)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("bucket"),
        TimeoutError("slow"),
        OSError(errno.ESTALE, "Stale file handle"),
        RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1"),
        dist.DistBackendError("NCCL error"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    ],
)
def test_the_death_of_another_worker_or_of_a_device_is_worth_another_start(error):
    assert explained(raised(error)) is None


def test_an_error_that_was_raised_on_purpose_stays_what_it_is():
    error = ModelError("no such encoder")
    assert explained(error) is error


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")])
def test_memory_that_ran_out_has_its_own_way_out(error):
    assert "lower batch_size or raise accumulate" in str(explained(raised(error)))


@pytest.mark.parametrize(
    ("failure", "plausible"),
    [
        ("The process is killed by SIGKILL by OOM killer due to high memory usage", True),
        ("The actor died unexpectedly before finishing this task.", True),
        ("ray.exceptions.RayTaskError: ConnectionError: the bucket does not answer", False),
        ("No module named 'hone.tasks.model'; 'tasks' is not a package", False),
    ],
)
def test_memory_is_named_only_where_a_process_vanished(failure, plausible):
    assert cluster.may_be_memory(failure) == plausible
