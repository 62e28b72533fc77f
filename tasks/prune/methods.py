"""The methods by the name a recipe calls them."""

from collections.abc import Callable

from hone.configs.model import PruneSettings
from hone.tasks.model.training.modifier import Modifier
from hone.tasks.prune.magnitude import magnitude
from hone.tasks.prune.sparsegpt import SparseGPT
from hone.tasks.prune.structured import Structured
from hone.tasks.prune.wanda import Wanda

METHODS: dict[str, Callable[[PruneSettings], Modifier]] = {
    "structured": Structured,
    "magnitude": magnitude,
    "wanda": Wanda,
    "sparsegpt": SparseGPT,
}
