"""Which layers cannot bear eight bits: each one is quantised alone, and what that costs is measured."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binom
from transformers import PreTrainedModel

from hone.tasks.holm import holm
from hone.tasks.model.text import TokenizedText
from hone.tasks.model.training.fake_quantization import QuantizationConfig, attach, detach
from hone.tasks.objectives.learning import Learning
from hone.tasks.quantize.measure import Answers, answer


@dataclass(frozen=True)
class LayerSensitivity:
    """What quantising one layer alone costs."""

    layer: str
    lost: float
    """Of the task's primary metric on validation, as a fraction of the fp32 model's."""
    divergence: float
    """Mean KL divergence (nats) of the predictions from those of the fp32 model."""
    p_value: float
    """That it costs any row, before any correction: see `p_lost`."""


def measure_costs(
    model: PreTrainedModel,
    plan: QuantizationConfig,
    objective: Learning,
    *,
    text: TokenizedText,
    rows: npt.NDArray[np.int64],
    pad_id: int,
    on_layer_done: Callable[[str], None],
) -> list[LayerSensitivity]:
    """The cost of every layer of the plan, the dearest first: by the divergence of its predictions, which is steadier
    than the count of those that change.

    Args:
        rows: of the validation split, on which it is measured.
        behind: told the name of each layer once it is measured.
    """
    reference = answer(model, objective, text, pad_id, rows)
    costs = []
    for name in (*plan.linears, *plan.tables):
        attach(model, plan.only(name))
        costs.append(cost_of(name, reference, answer(model, objective, text, pad_id, rows, reference)))
        detach(model)
        on_layer_done(name)
    return sorted(costs, key=lambda cost: -cost.divergence)


def cost_of(layer: str, reference: Answers, found: Answers) -> LayerSensitivity:
    """What the answers with one layer quantised cost against the fp32 model's, on the same rows in the same order."""
    lost = (reference.score - found.score) / abs(reference.score) if reference.score else 0.0  # a log likelihood is < 0
    before, after = reference.row_scores, found.row_scores
    worse, better = int((after < before).sum()), int((after > before).sum())
    return LayerSensitivity(layer, lost, found.divergence, p_lost(worse, better))


def p_lost(worse: int, better: int) -> float:
    """How often a layer whose rounding costs nothing would lose as many rows: of those whose answer became worse or
    better, each did either with the same chance. One-sided and exact.

    Source: McNemar 1947, Psychometrika 12.
    """
    return float(binom.sf(worse - 1, worse + better, 0.5))


def too_sensitive(costs: list[LayerSensitivity], allowed: float, level: float, most: int) -> list[str]:
    """The layers that cost more than a fraction `allowed` of the primary metric and are shown to cost some, in the
    order of the costs, at most `most` of them.

    Args:
        level: chance that any layer at all is among them where none costs anything (Holm's correction over all layers).
    """
    corrected = holm([cost.p_value for cost in costs])
    return [cost.layer for cost, p in zip(costs, corrected, strict=True) if p <= level and cost.lost > allowed][:most]
