"""Which layers cannot bear eight bits: each one is quantised alone, and what that costs is measured."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from tasks.model.fake_quantization import Plan, attach, detach
from tasks.model.text import TokenizedText
from tasks.quantize.measure import answer


@dataclass(frozen=True)
class Cost:
    """What quantising one layer alone costs."""

    layer: str
    accuracy: float
    """Validation accuracy lost, as a share of the fp32 model's."""
    logit_error: float
    """Mean squared difference of the logits."""


def measure_costs(
    model: PreTrainedModel,
    plan: Plan,
    *,
    text: TokenizedText,
    rows: npt.NDArray[np.int64],
    pad_id: int,
    behind: Callable[[str], None],
) -> list[Cost]:
    """The cost of every layer of the plan, the dearest first: by accuracy, and among equals by the error of the logits.

    Args:
        rows: of the validation split, on which it is measured.
        behind: told the name of each layer once it is measured.
    """
    reference = answer(model, text, pad_id, rows)
    costs = []
    for name in (*plan.linears, *plan.tables):
        attach(model, plan.only(name))
        found = answer(model, text, pad_id, rows)
        detach(model)
        lost = (reference.accuracy - found.accuracy) / reference.accuracy if reference.accuracy else 0.0
        costs.append(Cost(name, lost, float(torch.mean((found.logits - reference.logits) ** 2))))
        behind(name)
    return sorted(costs, key=lambda cost: (-cost.accuracy, -cost.logit_error))


def too_sensitive(costs: list[Cost], allowed: float, most: int) -> list[str]:
    """The layers that cost more than a share `allowed` of the accuracy, the dearest first, at most `most` of them."""
    return [cost.layer for cost in costs if cost.accuracy > allowed][:most]
