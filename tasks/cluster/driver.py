"""What a run calls: trains a job on Ray workers, which stay for the next one."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from configs.delivery import ComputeSettings
from tasks import storage
from tasks.cluster.connection import disconnect
from tasks.cluster.pool import WorkerPool
from tasks.errors import TrainingError

if TYPE_CHECKING:  # torch takes seconds to import, and a run that finds everything finished does not need it
    from tasks.model.learner import TrainingEvent, TrainingJob, TrainingResult

_pool: WorkerPool | None = None


def train(
    job: "TrainingJob", compute: ComputeSettings, on_event: "Callable[[TrainingEvent], None]"
) -> "TrainingResult":
    """Trains a job on Ray workers and returns what came of it; at once, if its folder already holds the result.

    Args:
        job: `make_learner` has to be importable by the workers; `workdir` has to be a folder that all of them see, or
            in the mirror of a bucket that all of them reach.
        on_event: called here, in this thread, for what rank 0 tells while it trains.

    Raises:
        PreflightError: when the cluster cannot be reached, or lacks what compute asks for.
        TrainingError: when workers died more often than `compute.max_failures`, or the loss is not finite.
        HoneError: whatever else the learner raises on purpose, such as a ModelError.
    """
    from tasks.model.events import EVENTS, Follower
    from tasks.model.loop import job_digest, read_result
    from tasks.model.parcel import Inbox, pack
    from tasks.model.resume import has_point

    parcel, inbox = pack(job), Inbox(job.workdir)
    job = dataclasses.replace(job, identity=parcel.job.identity)
    follower = Follower(job.workdir / EVENTS, on_event)

    def look() -> None:
        inbox.events()
        follower.look()

    inbox.state()
    if read_result(job) is None:
        if not has_point(job.workdir, job_digest(job)):  # another job's events are not this one's
            storage.remove(job.workdir / EVENTS)
        start(compute).run(parcel, look)
    inbox.result()
    follower.look()
    result = read_result(job)
    if result is None:
        raise TrainingError(f"{job.workdir}: the workers finished and left no result; do all of them see this folder?")
    return result


def start(compute: ComputeSettings) -> WorkerPool:
    """Lets the workers come up in the background, unless they are there already. `train` does it too."""
    global _pool
    if _pool is not None and not _pool.matches(compute):
        _pool.end(ray_stays=True)
        _pool = None
    if _pool is None:
        _pool = WorkerPool(compute)
    return _pool


def shutdown() -> None:
    """Ends the workers, and Ray too if it was started here. Timings of anything else are true only afterwards."""
    global _pool
    if _pool is not None:
        _pool.end()
        _pool = None
    disconnect()
