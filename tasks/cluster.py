"""The only import of ray: a crew of Ray Train workers that trains one job after another.

Starting Ray Train's processes takes longer than many a training: each of them imports torch and transformers. So one
`TorchTrainer.fit` serves all stages of a run. Its workers ask the foreman (a Ray actor) for one job after another; a
worker that dies takes the group down, Ray starts it again, and the job goes on from its last epoch.

    driver: train(job) ──► foreman ──► workers: loop.run(job) ──► files in job.workdir ──► driver: on_event, result

Files go through a disk that all of them see or, where compute.storage is a bucket, through that (`tasks.model.parcel`).
"""

import asyncio
import contextlib
import dataclasses
import logging
import os
import re
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.delivery import ComputeSettings
from tasks import errors, storage, version
from tasks.cores import usable_cores
from tasks.desk import Desk
from tasks.errors import HoneError, PreflightError, StorageError, TrainingError
from tasks.ray_folder import short_folder
from tasks.ray_start import keep_to_this_machine
from tasks.share import share_of, worker_resources

if TYPE_CHECKING:  # torch and ray take seconds to import, and a run that finds everything finished needs neither
    from tasks.model.learner import TrainingEvent, TrainingJob, TrainingResult
    from tasks.model.parcel import Parcel

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.3",  # 2.0 by default: what a start and a death wait for
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",  # for a cluster that others keep busy
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what Ray would print here: a worker's death is told by its successor
}
WORKER_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "true",  # workers do not fork
    "ORT_DISABLE_TELEMETRY": "1",
    # Threads that wait for each other spin for milliseconds by default, and on a busy machine that takes five times the
    # step itself; 1000 turns bridge the gap between two operations.
    "GOMP_SPINCOUNT": "1000",
    # Activations and gradients are taken from the heap again instead of mapped anew: 7 % of a step on a CPU.
    "MALLOC_MMAP_THRESHOLD_": str(1024**3),
    "MALLOC_TRIM_THRESHOLD_": str(4 * 1024**3),
}
TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
TOKEN_FILE = Path("~/.ray/auth_token")
OBJECT_STORE_BYTES = 128 * 1024**2  # jobs are a few kilobytes, and data goes through files
CODE = Path(__file__).resolve().parent.parent
"""Folder of the packages `tasks` and `configs`."""
LOOK_SECONDS = 0.5
PROBE_SECONDS = 5.0
START_ATTEMPTS = 3
"""Of a local Ray, whose processes a busy machine may keep from starting within Ray's own limit of 30 s."""
FAREWELL_SECONDS = 10.0

_crew: "_Crew | None" = None
_leave: threading.Event | None = None
"""Ends the thread that keeps the Ray that was started here."""
_connecting = threading.Lock()
_short_folder: Path | None = None
"""Of the Ray that was started here, where the usual one has too long a name."""


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
        start(compute).carry_out(parcel, look)
    inbox.result()
    follower.look()
    result = read_result(job)
    if result is None:
        raise TrainingError(f"{job.workdir}: the workers finished and left no result; do all of them see this folder?")
    return result


def start(compute: ComputeSettings) -> "_Crew":
    """Lets the workers come up in the background, unless they are there already. `train` does it too."""
    global _crew
    if _crew is not None and not _crew.serves(compute):
        _crew.end(ray_stays=True)
        _crew = None
    if _crew is None:
        _crew = _Crew(compute)
    return _crew


def shutdown() -> None:
    """Ends the workers, and Ray too if it was started here. Timings of anything else are true only afterwards."""
    global _crew, _leave, _short_folder
    if _crew is not None:
        _crew.end()
        _crew = None
    if _leave is not None:
        import ray

        ray.shutdown()
        _leave.set()
        _leave = None
    if _short_folder is not None:
        shutil.rmtree(_short_folder, ignore_errors=True)
        _short_folder = None


def cluster_resources(compute: ComputeSettings) -> dict[str, Any]:
    """What there is and what each worker gets: address, nodes, cpus, gpus, workers, cpus_per_worker, gpus_per_worker,
    memory_per_worker (GiB, 0: as much as there is).

    Raises:
        PreflightError: when the cluster cannot be reached, or lacks what compute asks for.
    """
    _connect()
    import ray

    nodes = _nodes()
    return {
        "address": os.environ.get("RAY_ADDRESS") or "local",
        "nodes": len(nodes),
        "cpus": ray.cluster_resources().get("CPU", 0.0),
        "gpus": ray.cluster_resources().get("GPU", 0.0),
        "workers": compute.workers,
        "cpus_per_worker": share_of(nodes, compute),
        "gpus_per_worker": compute.gpus_per_worker,
        "memory_per_worker": compute.memory_per_worker,
    }


def shaping_settings(compute: ComputeSettings) -> dict[str, Any]:
    """The settings of compute that change what training comes to, if only in the last digit."""
    return {"workers": compute.workers, "gpus_per_worker": compute.gpus_per_worker}


class _Crew:
    """Workers that stay, and the foreman who runs them."""

    def __init__(self, compute: ComputeSettings) -> None:
        self._compute = compute
        self._folder: Path | None = None
        """What Ray Train keeps of its run; other nodes have to see it."""
        self._opened: Future[tuple[Any, Any]] = Future()
        """The foreman, and the reference of his `fit`, which is ready only when the workers have ended."""
        threading.Thread(target=self._open, name="ray-crew", daemon=True).start()

    def serves(self, compute: ComputeSettings) -> bool:
        """Whether these workers are what compute asks for, and have not ended."""
        same = compute.model_copy(update={"storage": self._compute.storage}) == self._compute
        return same and not self._ended()

    def carry_out(self, parcel: "Parcel", look: Callable[[], None]) -> None:
        """Has a job done, calling `look` meanwhile."""
        foreman, fit = self._opened.result()
        import ray
        from ray import cloudpickle

        ready: list[Any] = []
        try:
            number = ray.get(foreman.offer.remote(cloudpickle.dumps(parcel)))
            outcome = foreman.outcome.remote(number)
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
                f"last reason: {_last_line(failure)}. The same command goes on from the last checkpoint{memory}"
            ) from failure
        except BaseException:  # interrupted: the workers would go on with the job
            self.end(at_once=True)
            raise
        if error is not None:
            kind, message = error
            raise getattr(errors, kind)(message)

    def end(self, at_once: bool = False, ray_stays: bool = False) -> None:
        """Kills the foreman, and with him all that he started. Of a Ray that stays, he first sends the workers home
        unless it has to be at once: Ray Train ends a helper of 200 MB that way, and leaves it there when it is killed,
        and with it the workers' cores taken where another Ray runs beside this one, which that helper then asks.
        """
        import ray

        if self._opened.exception() is None:
            foreman, fit = self._opened.result()
            with contextlib.suppress(ray.exceptions.RayError):
                if (ray_stays or os.environ.get("RAY_ADDRESS")) and not at_once:
                    ray.get(foreman.close.remote())
                    ray.wait([fit], timeout=FAREWELL_SECONDS)
                ray.kill(foreman)
        if self._folder:
            with contextlib.suppress(StorageError):  # what is left there does no harm
                storage.remove(self._folder)

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
        except Exception as failure:  # noqa: BLE001 - whatever it is, carry_out raises it
            self._opened.set_exception(failure)

    def _start(self) -> tuple[Any, Any]:
        _connect()
        import ray

        share = share_of(_nodes(), self._compute)
        if os.environ.get("RAY_ADDRESS"):
            self._folder = storage.folder_of(self._compute.storage) / f"ray-{os.getpid()}"
        else:
            self._folder = Path(tempfile.mkdtemp(prefix="hone-ray-"))
        actor: Any = ray.remote(num_cpus=0, runtime_env={"env_vars": ENVIRONMENT})(Foreman)
        foreman = actor.remote()
        uri = storage.uri_of(self._folder)
        return foreman, foreman.fit.remote(self._compute, share, uri, version.code_digest())


class Foreman(Desk):
    """The desk, and beside it the one `fit` that keeps the workers alive. It is a process of its own, so that Ray Train
    leaves the driver's signals and memory alone, and that all ends when it is killed."""

    async def fit(self, compute: ComputeSettings, cpus: float, uri: str, code: str) -> None:
        """Runs the workers until they die more often than allowed.

        Args:
            code: the driver's `version.code_digest`.

        Raises:
            PreflightError: when this process has other code.
        """
        import ray

        version.check_code(code)

        desk = ray.get_runtime_context().current_actor
        await asyncio.to_thread(_fit, desk, compute, cpus, uri, code)


def _fit(desk: Any, compute: ComputeSettings, cpus: float, uri: str, code: str) -> None:
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig

    shared_gpu = 0 < compute.gpus_per_worker < 1 and compute.workers > 1  # NCCL wants a GPU for each worker
    bucket = uri.startswith(storage.SCHEME)
    run_config: Any = RunConfig(
        name="hone",
        storage_path=uri.removeprefix(storage.SCHEME) if bucket else str(storage.folder_of(uri)),
        storage_filesystem=storage.filesystem() if bucket else None,
        worker_runtime_env={"env_vars": WORKER_ENVIRONMENT},
        failure_config=FailureConfig(max_failures=compute.max_failures, controller_failure_limit=compute.max_failures),
    )
    TorchTrainer(
        serve,
        train_loop_config={"desk": desk, "threads": max(1, int(cpus)), "code": code},
        torch_config=TorchConfig(backend="gloo" if shared_gpu else None),
        scaling_config=ScalingConfig(
            num_workers=compute.workers,
            use_gpu=compute.gpus_per_worker > 0,
            resources_per_worker=worker_resources(compute, cpus),
        ),
        run_config=run_config,
    ).fit()


def serve(config: dict[str, Any]) -> None:
    """What each worker runs: job after job, as long as it lives.

    An error that every start would repeat ends the job at once, whichever worker meets it; after any other the workers
    are started again, up to `compute.max_failures` times.
    """
    import gc

    import ray
    import torch
    from ray import cloudpickle
    from ray.train import get_context
    from ray.train.torch import get_device

    from tasks.model import checkpoint, loop  # before the first job is there: importing transformers takes a while
    from tasks.model.failures import explained
    from tasks.model.parcel import unpacked

    threads, desk = config["threads"], config["desk"]
    torch.set_num_threads(threads)
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # the tokenizer's
    rank, world_size = get_context().get_world_rank(), get_context().get_world_size()
    number = ray.get(desk.unfinished.remote())
    stranger: HoneError | None = None
    try:
        version.check_code(config["code"])
    except HoneError as error:
        stranger = error
    with checkpoint.quiet():
        while True:
            outcome = None
            try:
                taken = ray.get(desk.take.remote(number))
                if not taken:
                    return
                loop.raise_together(stranger, world_size)
                parcel = cloudpickle.loads(taken)
                with unpacked(parcel, rank, world_size) as (job, keep):
                    loop.run(job, rank, world_size, get_device(), keep)
            except HoneError as error:  # raised by all workers alike
                outcome = type(error).__name__, str(error)
            except Exception as error:  # the others may wait for this one, so its death takes the group down
                if reason := explained(error):
                    ray.get(desk.finish.remote(number, (type(reason).__name__, str(reason))))
                raise
            if rank == 0:
                ray.get(desk.finish.remote(number, outcome))
            number += 1
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _connect() -> None:
    """Connects to the cluster that RAY_ADDRESS names, else starts a local one; once per process."""
    global _leave
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    token = any(os.environ.get(name) for name in TOKEN_VARIABLES) or TOKEN_FILE.expanduser().is_file()
    if os.environ.get("RAY_ADDRESS") and token:  # by default Ray shows its token to local clusters alone
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray  # reads all these once, so nothing above may import it

    with _connecting:
        if ray.is_initialized():
            return
        connected, leave = Future[None](), threading.Event()
        threading.Thread(target=_keep, args=(connected, leave), name="ray", daemon=True).start()
        connected.result()
        _leave = leave


def _keep(connected: "Future[None]", leave: threading.Event) -> None:
    """Ray's local processes die with the thread that started them, so one thread lives as long as they are to."""
    try:
        _init()
    except Exception as failure:  # noqa: BLE001 - whatever it is, _connect raises it
        connected.set_exception(failure)
        return
    connected.set_result(None)
    leave.wait()


def _init() -> None:
    import ray

    address = os.environ.get("RAY_ADDRESS", "")
    if address in ("", "local"):
        _start_local()
        return
    _probe(address)
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, job_config=_job_config())
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise PreflightError(
            f"RAY_ADDRESS = '{address}': no Ray cluster answers ({_last_line(error)}); start one, or unset RAY_ADDRESS "
            "to train on this machine. A cluster with tokens needs its token here too, in RAY_AUTH_TOKEN or "
            f"{TOKEN_FILE}"
        ) from error


def _start_local() -> None:
    global _short_folder
    import ray

    keep_to_this_machine()
    _short_folder = _short_folder or short_folder()
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            with _without("RAY_ADDRESS"):
                ray.init(
                    address="local",
                    num_cpus=usable_cores(),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    object_store_memory=OBJECT_STORE_BYTES,
                    job_config=_job_config(),
                    _temp_dir=str(_short_folder) if _short_folder else None,
                )
        except Exception as error:  # Ray raises a bare one where its processes take more than 30 s to start
            ray.shutdown()
            if attempt == START_ATTEMPTS or "timed out" not in str(error):
                raise PreflightError(
                    f"Ray cannot be started on this machine: {_last_line(error)}. Its logs lie in "
                    f"{_short_folder or Path(tempfile.gettempdir(), 'ray')}; TMPDIR names another place for them, and "
                    "RAY_ADDRESS a cluster that runs already"
                ) from error
        else:
            return


def _job_config() -> Any:
    """Workers find Hone's own code before anything of the folder that the driver was started in, which Ray would put
    first on their path: a project's own tasks.py would stand for the package."""
    from ray.job_config import JobConfig

    # As a client's job: for any other Ray appends the working folder.
    return JobConfig(_client_job=True, _py_driver_sys_path=[str(CODE)])


def _probe(address: str) -> None:
    """Ray waits for minutes for a cluster that is not there: this finds out in seconds."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise PreflightError(f"RAY_ADDRESS = '{address}': give it as HOST:PORT of the head node, e.g. 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise PreflightError(
            f"RAY_ADDRESS = '{address}': nothing listens there ({error}); start the cluster's head, or unset "
            "RAY_ADDRESS to train on this machine"
        ) from error


def _nodes() -> list[dict[str, float]]:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _last_line(failure: Exception) -> str:
    """Of what an engine wrote: there it says what happened."""
    return str(failure).strip().splitlines()[-1].strip()


def may_be_memory(failure: str) -> bool:
    """Whether a death that an engine tells of may be one for want of memory: its process was killed, or vanished."""
    return re.search(r"SIGKILL|OOM|out of memory|OutOfMemory|died unexpectedly|ActorDied", failure, re.I) is not None


@contextlib.contextmanager
def _without(name: str) -> Iterator[None]:
    """Takes a variable out of the environment for a while."""
    value = os.environ.pop(name, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[name] = value
