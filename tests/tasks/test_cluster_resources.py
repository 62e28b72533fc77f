"""Cores and GPUs are shared out as far as they go, and what is lacking is said."""

import re

import pytest

from hone.configs.delivery import ComputeSettings
from hone.tasks.cluster.resources import GIB, allocate_cpus, worker_resources
from hone.tasks.errors import PreflightError

NODE = {"CPU": 8.0, "GPU": 2.0, "memory": 16.0 * GIB}


@pytest.mark.parametrize(
    ("nodes", "compute", "share"),
    [
        ([NODE], ComputeSettings(workers=1), 8),
        ([NODE], ComputeSettings(workers=3), 2),
        ([NODE], ComputeSettings(workers=2, cpus_per_worker=3), 3),
        ([NODE], ComputeSettings(workers=16), 0.5),
        ([{"CPU": 1.0}], ComputeSettings(workers=3), 0.3333),
        ([{"CPU": 8.0}, {"CPU": 2.0}], ComputeSettings(workers=2), 4),
        ([NODE, NODE], ComputeSettings(workers=4, gpus_per_worker=1), 4),
        ([NODE], ComputeSettings(workers=4, gpus_per_worker=0.5), 2),
        ([NODE], ComputeSettings(workers=4, memory_per_worker=4), 2),
        ([{"CPU": 8.0, "memory": 4.0 * GIB}, NODE], ComputeSettings(workers=3, memory_per_worker=5.3), 2),
    ],
)
def test_each_worker_gets_the_most_that_all_can_have(
    nodes: list[dict[str, float]], compute: ComputeSettings, share: float
) -> None:
    assert allocate_cpus(nodes, compute) == share


@pytest.mark.parametrize(
    ("compute", "asked"),
    [
        (ComputeSettings(workers=3, cpus_per_worker=3), "3 workers of 3 CPUs and 0 GPUs each"),
        (ComputeSettings(workers=3, gpus_per_worker=1), "3 workers of any number of CPUs and 1 GPUs each"),
    ],
)
def test_workers_that_do_not_fit_are_an_error_that_says_what_is_there(compute: ComputeSettings, asked: str) -> None:
    message = rf"{re.escape(asked)}, and the cluster has 1 node\(s\) with 8 CPUs and 2 GPUs: lower compute\.workers"
    with pytest.raises(PreflightError, match=message):
        allocate_cpus([NODE], compute)


def test_memory_that_no_node_has_is_an_error_that_says_how_much_there_is() -> None:
    compute = ComputeSettings(workers=2, memory_per_worker=8.5)
    message = (
        r"2 workers of any number of CPUs and 0 GPUs and 8\.5 GiB of memory each, and the cluster has 1 node\(s\) with "
        r"8 CPUs and 2 GPUs and 16\.0 GiB: lower compute\.workers, .*compute\.memory_per_worker"
    )
    with pytest.raises(PreflightError, match=message):
        allocate_cpus([NODE], compute)


def test_ray_is_asked_only_for_what_the_recipe_names() -> None:
    assert worker_resources(ComputeSettings(), 3) == {"CPU": 3}
    whole = ComputeSettings(gpus_per_worker=0.5, memory_per_worker=1.5)
    assert worker_resources(whole, 2) == {"CPU": 2, "GPU": 0.5, "memory": 1.5 * GIB}
