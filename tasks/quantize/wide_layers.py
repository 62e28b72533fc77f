"""Which layers have 8 bits where the others have 4: those whose rounding costs the loss most for each weight.

Rounding moves a layer's weights by d. To second order its predictions move by a divergence of half of E[(g . d)^2],
with g the gradient of the log likelihood: one backward pass says it for all layers at once, where rounding them one by
one would take a forward pass each. Rows stand for themselves: g is taken by row, and what cancels within one cancels.
Source: Dong et al. 2019 (HAWQ), arXiv:1905.03696; Kwon et al. 2022, arXiv:2204.09656 (with the Fisher information).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from hone.tasks.model.architectures.layers import layer_modules
from hone.tasks.model.architectures.linears import gradient_of, weight_of
from hone.tasks.model.text import TokenizedText, model_inputs
from hone.tasks.model.training.fake_quantization import QuantizationConfig
from hone.tasks.objectives.learning import Learning
from hone.tasks.quantize.measure import batches

ROWS = 32
"""Of the training split, at most, whose gradients are taken."""


def rounding_costs(
    model: PreTrainedModel,
    plan: QuantizationConfig,
    objective: Learning,
    *,
    text: TokenizedText,
    rows: npt.NDArray[np.int64],
    pad_id: int,
    on_row_done: Callable[[int], None],
) -> dict[str, float]:
    """The divergence (nats a token) that rounding each linear layer alone to the plan's bits costs, to second order."""
    squares = dict.fromkeys((name for name in plan.linears if name not in plan.wide), 0.0)
    for done, batch in enumerate(batches(model, text, rows, pad_id, 1)):
        model.zero_grad()
        with torch.enable_grad():
            objective.loss(model(**model_inputs(batch)), batch).sum().backward()
        with torch.no_grad():
            for name in squares:
                weight, gradient = weight_of(model, name), gradient_of(model, name)
                if gradient is not None:
                    squares[name] += float((gradient * (plan.rounded(name, weight) - weight)).sum()) ** 2
        on_row_done(done + 1)
    model.zero_grad()
    tokens = max(text.weight_of(rows), 1)
    return {name: 0.5 * total / tokens for name, total in squares.items()}


def widened(
    plan: QuantizationConfig, model: PreTrainedModel, costs: dict[str, float], share: float
) -> QuantizationConfig:
    """The plan with 8 bits for the layers that cost most for each weight, as far as they are `share` of all weights.
    Queries, keys and values of a layer go together, as the exported graph may compute them at once."""
    sizes = {name: weight_of(model, name).numel() for name in costs}
    units = _units(model, list(costs))
    left = share * sum(sizes.values())
    wide: list[str] = []
    for unit in sorted(units, key=lambda unit: -sum(costs[name] for name in unit) / sum(sizes[name] for name in unit)):
        size = sum(sizes[name] for name in unit)
        if size <= left:
            left -= size
            wide.extend(unit)
    return replace(plan, wide=(*plan.wide, *(name for name in plan.linears if name in wide)))


def _units(model: PreTrainedModel, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Layers that have the same bits."""
    places = {id(model.get_submodule(name)): name for name in names}
    together: list[tuple[str, ...]] = []
    for parts in layer_modules(model):
        projections = [part for part in (parts.query, parts.key, parts.value) if part is not None]
        found = tuple(places[id(part)] for part in projections if id(part) in places)
        if len(found) > 1:
            together.append(found)
    alone = set(names) - {name for unit in together for name in unit}
    return [*together, *((name,) for name in names if name in alone)]
