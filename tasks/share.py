"""How the cores and GPUs of a cluster are shared out among workers."""

import math
from collections.abc import Iterator

from configs.delivery import ComputeSettings
from tasks.errors import PreflightError


def share_of(nodes: list[dict[str, float]], compute: ComputeSettings) -> float:
    """Cores that each worker is given: what compute says, else the most that all workers can have; below 1 where
    workers are more than cores.

    Args:
        nodes: CPU and GPU of each node.

    Raises:
        PreflightError: when the workers do not fit on the nodes.
    """
    wanted = compute.cpus_per_worker
    largest = math.floor(max((node.get("CPU", 0.0) for node in nodes), default=0.0))
    candidates = [float(wanted)] if wanted else [*map(float, range(largest, 0, -1)), *_fractions(compute.workers)]
    for cpus in candidates:
        if sum(_fits(node, cpus, compute.gpus_per_worker) for node in nodes) >= compute.workers:
            return cpus
    asked = f"{compute.workers} workers of {wanted or 'any number of'} CPUs and {compute.gpus_per_worker:g} GPUs each"
    there = ", ".join(f"{node.get('CPU', 0.0):g} CPUs and {node.get('GPU', 0.0):g} GPUs" for node in nodes)
    raise PreflightError(
        f"compute asks for {asked}, and the cluster has {len(nodes)} node(s) with {there or 'nothing'}: lower "
        "compute.workers, compute.cpus_per_worker or compute.gpus_per_worker, or set RAY_ADDRESS to a larger cluster"
    )


def _fits(node: dict[str, float], cpus: float, gpus: float) -> int:
    """Workers that fit on a node."""
    slack = 1e-6
    by_cpu = math.floor(node.get("CPU", 0.0) / cpus + slack)
    return min(by_cpu, math.floor(node.get("GPU", 0.0) / gpus + slack)) if gpus else by_cpu


def _fractions(workers: int) -> Iterator[float]:
    """Halves, thirds ... of a core, rounded down to what Ray tells apart."""
    return (math.floor(10_000 / parts) / 10_000 for parts in range(2, workers + 1))
