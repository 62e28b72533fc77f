"""The driver's handle on the workers: starts them in the background, hands them jobs and ends them."""

import contextlib
import os
import re
import tempfile
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hone.configs.delivery import ComputeSettings
from hone.tasks import errors, storage, version
from hone.tasks.cluster.actor import PoolActor, WorkersAsked
from hone.tasks.cluster.connection import ENVIRONMENT, Connection, is_local, last_line, live_nodes
from hone.tasks.cluster.resources import allocate_cpus, shared_resources, worker_resources
from hone.tasks.errors import HoneError, StorageError, TrainingError

if TYPE_CHECKING:
    from hone.tasks.model.training.job_payload import JobPayload

LOOK_SECONDS = 0.5
SHUTDOWN_TIMEOUT = 10.0
"""Seconds."""
START_TIMEOUT = 180.0
"""Seconds that `end` waits for a start that is under way, which may take three attempts of 30 s and imports."""


class WorkerPool:
    """Workers that stay, and the actor that runs them."""

    def __init__(self, compute: ComputeSettings, connection: Connection) -> None:
        self._compute = compute
        self._connection = connection
        self._folder: Path | None = None
        """What Ray Train keeps of its run; other nodes have to see it."""
        self._opened: Future[tuple[Any, Any]] = Future()
        """The actor, and the reference of its `fit`, which is ready only when the workers have ended."""
        threading.Thread(target=self._open, name="ray-pool", daemon=True).start()

    def matches(self, compute: ComputeSettings) -> bool:
        """Whether these workers are what compute asks for, and have not ended."""
        same = compute.model_copy(update={"storage": self._compute.storage}) == self._compute
        return same and not self._ended()

    def run(self, payload: "JobPayload", look: Callable[[], None]) -> None:
        """Has a job done, calling `look` meanwhile."""
        actor, fit = self._opened.result()
        import ray
        from ray import cloudpickle

        ready: list[Any] = []
        try:
            index = ray.get(actor.submit.remote(cloudpickle.dumps(payload)))
            outcome = actor.result.remote(index)
            while not ready:
                ready, _ = ray.wait([outcome, fit], timeout=LOOK_SECONDS)
                look()
            error = ray.get(ready[0])
        except ray.exceptions.RayError as failure:
            cause = getattr(failure, "cause", None)
            if isinstance(cause, HoneError):
                raise cause from None
            memory = "; if memory ran out, lower batch_size or raise accumulate" if may_be_memory(str(failure)) else ""
            raise TrainingError(
                f"the workers died more often than compute.max_failures = {self._compute.max_failures} allows. The "
                f"last reason: {last_line(failure)}. The same command goes on from the last checkpoint{memory}"
            ) from failure
        except BaseException:  # interrupted: the workers would go on with the job
            self.end(at_once=True)
            raise
        if error is not None:
            kind, message = error
            raise getattr(errors, kind)(message)

    def end(self, at_once: bool = False, ray_stays: bool = False) -> None:
        """Kills the actor, and with it all that it started. Of a Ray that stays, it first sends the workers home
        unless it has to be at once: Ray Train ends a helper of 200 MB that way, and leaves it there when it is killed,
        and with it the workers' cores taken where another Ray runs beside this one, which that helper then asks.
        """
        import ray

        if self._has_started():
            actor, fit = self._opened.result()
            with contextlib.suppress(ray.exceptions.RayError):
                if (ray_stays or not self._connection.is_last()) and not at_once:
                    ray.get(actor.close.remote())
                    ray.wait([fit], timeout=SHUTDOWN_TIMEOUT)
                ray.kill(actor)
        if self._folder:
            with contextlib.suppress(StorageError):  # what is left there does no harm
                storage.remove(self._folder)

    def _has_started(self) -> bool:
        try:
            return self._opened.exception(timeout=START_TIMEOUT) is None
        except TimeoutError:  # it hangs; the actor, if there will be one, ends with this process
            return False

    def _ended(self) -> bool:
        if not self._opened.done():
            return False
        if self._opened.exception() is not None:
            return True
        import ray

        return bool(ray.wait([self._opened.result()[1]], timeout=0)[0])

    def _open(self) -> None:
        try:
            self._opened.set_result(self._start())
        except Exception as failure:  # noqa: BLE001 - whatever it is, run raises it
            self._opened.set_exception(failure)

    def _start(self) -> tuple[Any, Any]:
        self._connection.open()
        import ray

        cpus = allocate_cpus(live_nodes(), self._compute)
        if os.environ.get("RAY_ADDRESS"):
            self._folder = (
                storage.folder_of(self._compute.storage) / f"ray-{uuid.uuid4().hex}"
            )  # containers have the same process ids
        else:
            self._folder = Path(tempfile.mkdtemp(prefix="hone-ray-"))
        pool_actor: Any = ray.remote(num_cpus=0, runtime_env={"env_vars": ENVIRONMENT})(PoolActor)
        actor = pool_actor.remote()
        uri = storage.uri_of(self._folder)
        resources, variables = worker_resources(self._compute, cpus), {}
        if is_local():
            resources = shared_resources(resources)
            variables = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, int(cpus))))}
        threads, code = max(1, int(cpus)), version.code_digest()
        return actor, actor.fit.remote(
            WorkersAsked(self._compute, threads, resources, variables, uri, is_local(), code)
        )


def may_be_memory(failure: str) -> bool:
    """Whether a death that an engine tells of may be one for want of memory: its process was killed, or vanished."""
    return re.search(r"SIGKILL|OOM|out of memory|OutOfMemory|died unexpectedly|ActorDied", failure, re.I) is not None
