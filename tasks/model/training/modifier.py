"""The seam of what changes a student in place: before it trains, while it trains, and what is counted afterwards.

A pruning method is one `Modifier`. The stage calls `prepare` once, in the driver; every worker makes a modifier of its
own and calls `begin` with the student that `prepare` left, and the training loop calls the rest. Nothing else travels
between them: what a modifier has to know in the middle of training it reads off the weights and the step, which every
worker and every resumed run have alike.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor
from transformers import PreTrainedModel

from hone.tasks.model.text import Batch


@dataclass(frozen=True)
class Calibration:
    """Training rows and their loss, for methods that look at more than the weights."""

    batches: Callable[[], Iterator[Batch]]
    """The rows in batches, on the model's device; from the first one again each time it is called."""
    loss_of: Callable[[PreTrainedModel, list[int]], Callable[[Batch], Tensor]]
    """For a student of which these layers are left, counted from 0: what gives the SUM of a batch's losses."""


class Modifier(Protocol):
    """How a student is changed, and how what is left trains on. `Unmodified` has the answers of one that does nothing.

    Weights are changed in place and keep their names; a method that needs no rows leaves `calibration` alone.
    """

    def prepare(self, model: PreTrainedModel, calibration: Calibration) -> list[int]:
        """Changes the model before it trains, and may run rows through hooks on it.

        Returns:
            The places of the layers that are still there, counted from 0.

        Raises:
            ModelError: when the model is not of a kind that it can change.
        """
        ...

    def begin(self, model: PreTrainedModel) -> None:
        """Called in every worker with the model as `prepare` left it. A run that is resumed puts its weights in place
        after this and before the first step."""
        ...

    def before_step(self, step: int, total: int) -> None:
        """Called before an optimiser step, counted from 0, of `total`."""
        ...

    def after_step(self) -> None:
        """Called after every optimiser step, e.g. to hold a mask."""
        ...

    def settled(self, step: int, total: int) -> bool:
        """Whether a model after `step` of `total` steps is as this method wants it, and may be kept as the best one."""
        ...

    def finish(self, model: PreTrainedModel) -> dict[str, Any]:
        """What it counts in the model that the stage hands on: notes for the report."""
        ...


class Unmodified:
    """The modifier of a student that just learns, and what other modifiers need not write."""

    def prepare(self, model: PreTrainedModel, calibration: Calibration) -> list[int]:
        """Changes nothing; all layers stay."""
        return list(range(model.config.num_hidden_layers))

    def begin(self, model: PreTrainedModel) -> None:
        """Nothing to remember."""

    def before_step(self, step: int, total: int) -> None:
        """Nothing to change."""

    def after_step(self) -> None:
        """Nothing to hold."""

    def settled(self, step: int, total: int) -> bool:
        """From the start."""
        return True

    def finish(self, model: PreTrainedModel) -> dict[str, Any]:
        """Nothing to count."""
        return {}
