"""Post-training quantisation: which layers, with which scales, and what it costs. No weight is trained."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from hone.configs.model import QuantizeSettings
from hone.configs.recipe import Objective
from hone.tasks.device import driver_device
from hone.tasks.model.checkpoints.checkpoint import load_model, load_tokenizer
from hone.tasks.model.checkpoints.config_file import add_to_config
from hone.tasks.model.text import TokenizedText
from hone.tasks.model.tokenized import IN_MEMORY, Split, TokenizedSplits
from hone.tasks.model.training.fake_quantization import (
    QuantizationConfig,
    Scheme,
    attach,
    detach,
    plan_for,
    snap_to_grid,
)
from hone.tasks.objectives.learning import Learning, learning
from hone.tasks.quantize import wide_layers
from hone.tasks.quantize.calibrate import calibrate
from hone.tasks.quantize.measure import Answers, answer, drawn
from hone.tasks.quantize.sensitivity import LayerSensitivity, measure_costs, too_sensitive
from hone.tasks.quantize.trainable import save_quantized

SENSITIVITY_BATCHES = 32
"""Batches of validation rows, at most, on which single layers are measured: there are dozens of layers."""
Progress = Callable[[float, float, str], None]


@dataclass(frozen=True)
class Rounded:
    """A model that was quantised as it is."""

    plan: QuantizationConfig
    answers: Answers
    """To the validation split, with the kept layers in fp32."""
    before: Answers
    """To it in fp32."""
    everything: Answers
    """To it with every layer quantised."""
    costs: list[LayerSensitivity]
    primary: str
    """The metric that `Answers.score` is."""
    rounding_costs: dict[str, float]
    """Divergence (nats a token) that each layer costs with 4 bits, where some get 8."""

    def notes(self) -> dict[str, Any]:
        """What the report says of it."""
        measured = f"validation_{self.primary}"
        return {
            f"fp32_{measured}": self.before.score,
            f"ptq_{measured}": self.answers.score,
            f"ptq_all_layers_{measured}": self.everything.score,
            **(
                {"layers_of_8_bits": list(self.plan.wide), "rounding_costs": self.rounding_costs}
                if self.plan.wide
                else {}
            ),
            "sensitivity": {
                cost.layer: {f"{self.primary}_lost": cost.lost, "divergence": cost.divergence, "p_value": cost.p_value}
                for cost in self.costs
            },
        }


def quantize_post_training(
    student: Path,
    data: Path,
    into: Path,
    *,
    settings: QuantizeSettings,
    scheme: Scheme,
    max_length: int,
    seed: int,
    on_progress: Progress,
    task: Objective,
    splits: TokenizedSplits = IN_MEMORY,
) -> Rounded:
    """Measures every layer, keeps in fp32 those shown to be too sensitive, and saves the rest on the integer grid. In
    blocks none is kept: of 4 bits those that cost most get 8, as many as `settings.wide_fraction` allows.

    Args:
        student: folder of the checkpoint.
        data: folder of the prepared data.
        into: folder for the quantised checkpoint.
        seed: of the rows that are drawn.
        splits: where the tokenized splits are kept.

    Raises:
        TrainingError: when what a layer reads is not finite.
    """
    device, objective = torch.device(driver_device()), learning(task)
    model, tokenizer = load_model(student), load_tokenizer(student)
    model.to(device)  # type: ignore[arg-type]  # transformers wraps it so that mypy takes the device for the model
    pad_id = int(tokenizer.pad_token_id)
    plan = plan_for(model, scheme, settings.embeddings, bits=settings.bits, block=settings.block_size)
    validation = splits.read(Split(data / "validation.parquet", tokenizer, max_length, task))
    if scheme == "static" or settings.wide_fraction:
        train = splits.read(Split(data / "train.parquet", tokenizer, max_length, task))
    if scheme == "static":
        sample = drawn(len(train), settings.calibration_rows, seed)
        plan = plan.with_scales(calibrate(model, plan, train, sample, pad_id))
    if scheme == "blockwise":
        before = answer(model, objective, validation, pad_id)
        by_layer: dict[str, float] = {}
        everything = _answer_rounded(model, plan, objective, validation, pad_id)
        if settings.wide_fraction:
            sample = drawn(len(train), wide_layers.ROWS, seed)
            by_layer = wide_layers.rounding_costs(
                model,
                plan,
                objective,
                text=train,
                rows=sample,
                pad_id=pad_id,
                on_row_done=lambda row: on_progress(row, len(sample), "measuring what rounding costs"),
            )
            plan = wide_layers.widened(plan, model, by_layer, settings.wide_fraction)
        snap_to_grid(model, plan, search=settings.method == "ptq")
        after = _answer_rounded(model, plan, objective, validation, pad_id)
        save_quantized(model, tokenizer, plan, into)
        add_to_config(into, objective.config_chosen(after.sums))
        return Rounded(plan, after, before, everything, [], objective.primary, by_layer)
    total, done = len(plan.linears) + len(plan.tables), 0

    def on_layer_done(layer: str) -> None:
        nonlocal done
        done += 1
        on_progress(done, total, f"measuring {layer}")

    rows = drawn(len(validation), SENSITIVITY_BATCHES * objective.rows_at_once, seed)
    costs = measure_costs(
        model, plan, objective, text=validation, rows=rows, pad_id=pad_id, on_layer_done=on_layer_done
    )
    before = answer(model, objective, validation, pad_id)
    everything = _answer_rounded(model, plan, objective, validation, pad_id)
    kept = too_sensitive(costs, settings.sensitivity, settings.sensitivity_level, settings.max_sensitive_layers)
    plan = plan.excluding(kept)
    after = _answer_rounded(model, plan, objective, validation, pad_id) if plan.kept else everything
    save_quantized(model, tokenizer, plan, into)
    add_to_config(into, objective.config_chosen(after.sums))
    return Rounded(plan, after, before, everything, costs, objective.primary, {})


def _answer_rounded(
    model: PreTrainedModel, plan: QuantizationConfig, objective: Learning, text: TokenizedText, pad_id: int
) -> Answers:
    attach(model, plan)
    result = answer(model, objective, text, pad_id)
    detach(model)
    return result
