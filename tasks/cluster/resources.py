"""How the cores, GPUs and memory of a cluster are shared out among workers."""

import math
import os
from collections.abc import Iterator
from typing import Any

from hone.configs.delivery import ComputeSettings
from hone.tasks.cluster.connection import live_nodes
from hone.tasks.errors import PreflightError

GIB = 1024**3
RUNS_AT_ONCE = 16
"""Runs of one process that a local Ray has room for. What GPUs and memory they name is still taken by one alone."""


def described(compute: ComputeSettings) -> dict[str, Any]:
    """What Ray has, once connected, and what each worker gets: address, nodes, cpus, gpus, workers, cpus_per_worker,
    gpus_per_worker, memory_per_worker (GiB, 0: as much as there is).

    Raises:
        PreflightError: when it lacks what compute asks for.
    """
    import ray

    nodes = live_nodes()
    return {
        "address": os.environ.get("RAY_ADDRESS") or "local",
        "nodes": len(nodes),
        "cpus": ray.cluster_resources().get("CPU", 0.0),
        "gpus": ray.cluster_resources().get("GPU", 0.0),
        "workers": compute.workers,
        "cpus_per_worker": allocate_cpus(nodes, compute),
        "gpus_per_worker": compute.gpus_per_worker,
        "memory_per_worker": compute.memory_per_worker,
    }


def shaping_settings(compute: ComputeSettings) -> dict[str, Any]:
    """The settings of compute that change what training comes to, if only in the last digit."""
    return {"workers": compute.workers, "gpus_per_worker": compute.gpus_per_worker}


def allocate_cpus(nodes: list[dict[str, float]], compute: ComputeSettings) -> float:
    """Cores that each worker is given: what compute says, else the most that all workers can have; below 1 where
    workers are more than cores.

    Args:
        nodes: CPU, GPU and memory (bytes) of each node, as Ray counts them.

    Raises:
        PreflightError: when the workers do not fit on the nodes.
    """
    each = compute.cpus_per_worker
    largest = math.floor(max((node.get("CPU", 0.0) for node in nodes), default=0.0))
    candidates = [float(each)] if each else [*map(float, range(largest, 0, -1)), *_fractions(compute.workers)]
    for cpus in candidates:
        if sum(_fits(node, worker_resources(compute, cpus)) for node in nodes) >= compute.workers:
            return cpus
    memory = compute.memory_per_worker
    asked = f"{compute.workers} workers of {each or 'any number of'} CPUs and {compute.gpus_per_worker:g} GPUs" + (
        f" and {memory:g} GiB of memory each" if memory else " each"
    )
    there = ", ".join(
        f"{node.get('CPU', 0.0):g} CPUs and {node.get('GPU', 0.0):g} GPUs"
        + (f" and {node.get('memory', 0.0) / GIB:.1f} GiB" if memory else "")
        for node in nodes
    )
    raise PreflightError(
        f"compute asks for {asked}, and the cluster has {len(nodes)} node(s) with {there or 'nothing'}: lower "
        f"compute.workers, compute.cpus_per_worker{', compute.memory_per_worker' if memory else ''} or "
        "compute.gpus_per_worker, or set RAY_ADDRESS to a larger cluster"
    )


def worker_resources(compute: ComputeSettings, cpus: float) -> dict[str, float]:
    """What one worker asks Ray for; what it does not need is not named."""
    asked = {"CPU": cpus, "GPU": compute.gpus_per_worker, "memory": math.ceil(compute.memory_per_worker * GIB)}
    return {name: amount for name, amount in asked.items() if amount}


def shared_resources(asked: dict[str, float]) -> dict[str, float]:
    """What a worker asks of a local Ray for its cores: a part of them. Ray would otherwise let a second run's workers
    wait until the first run's are gone, where two runs in processes of their own would share the cores."""
    part = math.floor(asked["CPU"] / RUNS_AT_ONCE * 10_000) / 10_000
    return asked | {"CPU": max(part, 0.0001)}


def _fits(node: dict[str, float], asked: dict[str, float]) -> int:
    """Workers that fit on a node."""
    slack = 1e-6
    return min(math.floor(node.get(name, 0.0) / amount + slack) for name, amount in asked.items())


def _fractions(workers: int) -> Iterator[float]:
    """Halves, thirds ... of a core, rounded down to what Ray tells apart."""
    return (math.floor(10_000 / parts) / 10_000 for parts in range(2, workers + 1))
