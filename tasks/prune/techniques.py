"""The techniques by the name a recipe calls them."""

from collections.abc import Callable

from configs.model import PruneSettings
from tasks.model.modifier import Modifier
from tasks.prune.magnitude import magnitude
from tasks.prune.structured import Structured
from tasks.prune.wanda import Wanda

TECHNIQUES: dict[str, Callable[[PruneSettings], Modifier]] = {
    "structured": Structured,
    "magnitude": magnitude,
    "wanda": Wanda,
}
