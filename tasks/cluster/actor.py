"""The Ray actor that runs the workers: Ray Train, and the queue that its workers ask for jobs."""

import asyncio
from dataclasses import dataclass
from typing import Any

from hone.configs.delivery import ComputeSettings
from hone.tasks import storage, version
from hone.tasks.cluster.job_queue import JobQueue
from hone.tasks.cluster.worker import serve

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


@dataclass(frozen=True)
class WorkersAsked:
    """The workers that a run asks for."""

    compute: ComputeSettings
    threads: int
    """That each computes with."""
    resources: dict[str, float]
    """That each asks Ray for."""
    variables: dict[str, str]
    """Of its environment, beside `WORKER_ENVIRONMENT`."""
    uri: str
    """Of what Ray Train keeps of its run."""
    local: bool
    """Whether Ray was started for these runs, on their machine."""
    code: str
    """The driver's `version.code_digest`."""


class PoolActor(JobQueue):
    """The queue of jobs, and beside it the one `fit` that keeps the workers alive.

    It is a process of its own, so that Ray Train leaves the driver's signals and memory alone, and that all ends when
    it is killed.
    """

    async def fit(self, asked: WorkersAsked) -> None:
        """Runs the workers until they die more often than allowed.

        Raises:
            PreflightError: when this process has other code.
        """
        import ray

        version.check_code(asked.code)

        queue = ray.get_runtime_context().current_actor
        await asyncio.to_thread(_fit, queue, asked)


def _fit(queue: Any, asked: WorkersAsked) -> None:
    from ray.train.torch import TorchConfig
    from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig

    from hone.tasks.cluster.trainer import PoolTrainer

    compute, uri = asked.compute, asked.uri
    shared_gpu = 0 < compute.gpus_per_worker < 1 and compute.workers > 1  # NCCL wants a GPU for each worker
    bucket = uri.startswith(storage.SCHEME)
    run_config: Any = RunConfig(
        name="hone",
        storage_path=uri.removeprefix(storage.SCHEME) if bucket else str(storage.folder_of(uri)),
        storage_filesystem=storage.filesystem() if bucket else None,
        worker_runtime_env={"env_vars": WORKER_ENVIRONMENT | asked.variables},
        failure_config=FailureConfig(max_failures=compute.max_failures, controller_failure_limit=compute.max_failures),
    )
    trainer = PoolTrainer(
        serve,
        train_loop_config={"queue": queue, "threads": asked.threads, "code": asked.code},
        torch_config=TorchConfig(backend="gloo" if shared_gpu else None),
        scaling_config=ScalingConfig(
            num_workers=compute.workers,
            use_gpu=compute.gpus_per_worker > 0,
            resources_per_worker=asked.resources,
        ),
        run_config=run_config,
    )
    trainer.scales = not asked.local
    trainer.fit()
