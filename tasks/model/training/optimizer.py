"""AdamW, its learning rate over the steps, and the arithmetic of the forward pass."""

import math
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from hone.configs.section import Precision, TrainingSection
from hone.tasks.device import computes_bf16


def make_optimizer(module: nn.Module, settings: TrainingSection) -> torch.optim.AdamW:
    """AdamW over what is trained; biases and norms (everything of one dimension) do not decay.

    Source: Loshchilov & Hutter 2019, algorithm 2.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=settings.learning_rate, fused=True)


def learning_rate(settings: TrainingSection, step: int, total_steps: int) -> float:
    """The rate of one step, counted from 0: rises in equal parts to the peak at the end of the warm-up, then falls
    towards 0, which it would reach one step after the last. No step is wasted at rate 0."""
    warmup = math.ceil(settings.warmup_fraction * total_steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    if settings.decay == "linear":
        return settings.learning_rate * (1 - progress)
    if settings.decay == "cosine":
        return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    return settings.learning_rate


def arithmetic(precision: Precision, device: torch.device) -> Any:
    """The context of a forward pass: autocast for bf16 and fp16, nothing for fp32, and nothing for fp16 on a CPU: a
    driver without a GPU asks the teacher and weighs the parts in fp32, though the workers train in fp16. auto is
    settled by each worker for its own device."""
    if precision == "auto":
        precision = "bf16" if computes_bf16(device.type) else "fp32"
    if precision == "fp32" or (precision == "fp16" and device.type == "cpu"):
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


def make_scaler(precision: Precision, device: torch.device) -> torch.amp.GradScaler:
    """Loss scaling, which only fp16 needs; for the others it passes everything through.

    Source: Micikevicius et al. 2018, section 3.2.
    """
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")
