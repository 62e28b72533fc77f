"""Which layers cannot bear eight bits: each one is quantised alone, and what that costs is measured."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import binom
from torch import Tensor
from transformers import PreTrainedModel

from tasks.holm import holm
from tasks.model.fake_quantization import Plan, attach, detach
from tasks.model.text import TokenizedText
from tasks.quantize.measure import Answers, answer


@dataclass(frozen=True)
class Cost:
    """What quantising one layer alone costs."""

    layer: str
    accuracy: float
    """Validation accuracy lost, as a share of the fp32 model's."""
    divergence: float
    """Mean KL divergence (nats) of the predictions from those of the fp32 model."""
    p_value: float
    """Of the loss of accuracy, before any correction: see `p_lost`."""


def measure_costs(
    model: PreTrainedModel,
    plan: Plan,
    *,
    text: TokenizedText,
    rows: npt.NDArray[np.int64],
    pad_id: int,
    behind: Callable[[str], None],
) -> list[Cost]:
    """The cost of every layer of the plan, the dearest first: by the divergence of its predictions, which is steadier
    than the count of those that change.

    Args:
        rows: of the validation split, on which it is measured.
        behind: told the name of each layer once it is measured.
    """
    reference = answer(model, text, pad_id, rows)
    costs = []
    for name in (*plan.linears, *plan.tables):
        attach(model, plan.only(name))
        costs.append(cost_of(name, reference, answer(model, text, pad_id, rows)))
        detach(model)
        behind(name)
    return sorted(costs, key=lambda cost: -cost.divergence)


def cost_of(layer: str, reference: Answers, found: Answers) -> Cost:
    """What the answers with one layer quantised cost against the fp32 model's, on the same rows in the same order."""
    lost = (reference.accuracy - found.accuracy) / reference.accuracy if reference.accuracy else 0.0
    before, after = reference.right, found.right
    worse, better = int((before & ~after).sum()), int((~before & after).sum())
    return Cost(layer, lost, _divergence(reference.logits, found.logits), p_lost(worse, better))


def p_lost(worse: int, better: int) -> float:
    """How often a layer whose rounding costs no accuracy would lose as many rows: of those whose answer became wrong
    (`worse`) or right (`better`), each did either with the same chance. One-sided and exact.

    Source: McNemar 1947, Psychometrika 12.
    """
    return float(binom.sf(worse - 1, worse + better, 0.5))


def too_sensitive(costs: list[Cost], allowed: float, level: float, most: int) -> list[str]:
    """The layers that cost more than a share `allowed` of the accuracy and are shown to cost some, in the order of
    the costs, at most `most` of them.

    Args:
        level: chance that any layer at all is among them where none costs anything (Holm's correction over all layers).
    """
    corrected = holm([cost.p_value for cost in costs])
    return [cost.layer for cost, p in zip(costs, corrected, strict=True) if p <= level and cost.accuracy > allowed][
        :most
    ]


def _divergence(reference: Tensor, found: Tensor) -> float:
    before, after = (torch.log_softmax(logits.double(), dim=1) for logits in (reference, found))
    return float(torch.nn.functional.kl_div(after, before, log_target=True, reduction="batchmean"))
