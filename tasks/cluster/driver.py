"""What a run calls: trains a job on Ray workers, which stay for the run's next one."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from hone.configs.delivery import ComputeSettings
from hone.tasks import storage
from hone.tasks.cluster.connection import Connection
from hone.tasks.cluster.pool import WorkerPool
from hone.tasks.cluster.resources import described
from hone.tasks.errors import TrainingError

if TYPE_CHECKING:  # torch takes seconds to import, and a run that finds everything finished does not need it
    from hone.tasks.model.training.trainable import TrainingEvent, TrainingJob, TrainingResult


class Workers:
    """One run's workers, once it trains, and its hold on the Ray that all runs of this process share."""

    def __init__(self) -> None:
        self._pool: WorkerPool | None = None
        self._connection: Connection | None = None

    def connection(self) -> Connection:
        """The hold on Ray; the first to ask for it opens it."""
        if self._connection is None:
            self._connection = Connection()
        return self._connection

    def start(self, compute: ComputeSettings) -> WorkerPool:
        """Lets the workers come up in the background, unless they are there already."""
        if self._pool is not None and not self._pool.matches(compute):
            self._pool.end(ray_stays=True)
            self._pool = None
        if self._pool is None:
            self._pool = WorkerPool(compute, self.connection())
        return self._pool

    def end(self) -> None:
        """Ends these workers, and no other run's; Ray too, if it was started here and no other run holds it."""
        if self._pool is not None:
            self._pool.end()
            self._pool = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_workers: ContextVar[Workers | None] = ContextVar("workers of the run", default=None)


@contextmanager
def session() -> Iterator[None]:
    """Workers for the run inside the block alone, which end with it. Stages that Prefect submits to other threads have
    the same; whoever trains outside of any block has some of their own, until `shutdown`."""
    own = Workers()
    token = _workers.set(own)
    try:
        yield
    finally:
        _workers.reset(token)
        own.end()


def this_run() -> Workers:
    """The workers of the run that calls."""
    workers = _workers.get()
    if workers is None:
        workers = Workers()
        _workers.set(workers)
    return workers


def train(
    job: "TrainingJob", compute: ComputeSettings, on_event: "Callable[[TrainingEvent], None]"
) -> "TrainingResult":
    """Trains a job on Ray workers and returns what came of it; at once, if its folder already holds the result.

    Args:
        job: `make_trainable` has to be importable by the workers; `workdir` has to be a folder that all of them see, or
            in the mirror of a bucket that all of them reach.
        on_event: called here, in this thread, for what rank 0 tells while it trains.

    Raises:
        PreflightError: when the cluster cannot be reached, or lacks what compute asks for.
        TrainingError: when workers died more often than `compute.max_failures`, or the loss is not finite.
        HoneError: whatever else the trainable raises on purpose, such as a ModelError.
    """
    from hone.tasks.model.training.events import EVENTS, EventTail
    from hone.tasks.model.training.job_payload import JobMirror, upload_inputs
    from hone.tasks.model.training.loop import job_digest, read_result
    from hone.tasks.model.training.resume import has_point

    payload, mirror = upload_inputs(job), JobMirror(job.workdir)
    job = dataclasses.replace(job, identity=payload.job.identity)
    follower = EventTail(job.workdir / EVENTS, on_event)

    def poll() -> None:
        mirror.events()
        follower.poll()

    mirror.state()
    if read_result(job) is None:
        if not has_point(job.workdir, job_digest(job)):  # another job's events are not this one's
            storage.remove(job.workdir / EVENTS)
        start(compute).run(payload, poll)
    mirror.result()
    follower.poll()
    result = read_result(job)
    if result is None:
        raise TrainingError(f"{job.workdir}: the workers finished and left no result; do all of them see this folder?")
    return result


def cluster_resources(compute: ComputeSettings) -> dict[str, Any]:
    """Connects to Ray and says what there is and what each worker gets (see `resources.described`).

    Raises:
        PreflightError: when the cluster cannot be reached, or lacks what compute asks for.
    """
    this_run().connection().open()
    return described(compute)


def start(compute: ComputeSettings) -> WorkerPool:
    """Lets this run's workers come up in the background, unless they are there already. `train` does it too."""
    return this_run().start(compute)


def shutdown() -> None:
    """Ends this run's workers, and Ray too if it was started here and no other run of this process holds it. Timings of
    anything else are true only afterwards."""
    this_run().end()
