"""Ray Train's trainer with fewer processes around its workers.

Each process of Ray's takes seconds to import Ray, and some torch, before the first step can be done. Of those that Ray
Train starts beside the workers, Hone's runs have no use for three: a controller's own (the actor that calls `fit` is
one already), a manager of Ray Data's datasets (data go through files), and, on a Ray of this machine alone, the one
that asks an autoscaler for nodes. What is overridden is private to Ray: `tests/tasks/test_cluster.py` looks for them.
"""

import asyncio
from typing import Any

from ray.train import Result
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy


class PoolTrainer(TorchTrainer):
    """A `TorchTrainer` whose controller runs in the actor that calls `fit`."""

    scales: bool = True
    """Whether there may be an autoscaler to ask for nodes."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()  # type: ignore[misc]  # chosen by a switch of Ray
        return [callback for callback in callbacks if not isinstance(callback, DatasetsCallback)]

    def _initialize_and_run_controller(self, **named: Any) -> Result:
        if not self.scales:
            named["scaling_policy"] = _LocalScalingPolicy(named["scaling_policy"].scaling_config)

        async def run() -> Result:
            controller = TrainController(**named)
            await controller.run()
            return controller.get_result()

        return asyncio.run(run())


class _LocalScalingPolicy(FixedScalingPolicy):
    """The workers that were asked for, of a Ray that does not grow."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """There is nobody to register with."""

    def _maybe_send_resource_request(self) -> None:
        """Nor to ask."""
