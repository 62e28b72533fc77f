"""The learning rate over the steps, and what decays."""

import pytest
import torch
from torch import nn
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from hone.configs.section import TrainingSection
from hone.tasks.device import computes_bf16
from hone.tasks.model.training.optimizer import arithmetic, learning_rate, make_optimizer, make_scaler

SCHEDULES = {"linear": get_linear_schedule_with_warmup, "cosine": get_cosine_schedule_with_warmup}


def rates(total: int, **settings: object) -> list[float]:
    section = TrainingSection.model_validate({"learning_rate": 1e-3, **settings})
    return [learning_rate(section, step, total) for step in range(total)]


def test_by_hand_two_steps_of_warm_up_and_a_linear_fall() -> None:
    assert rates(6, warmup_fraction=0.25) == pytest.approx([5e-4, 1e-3, 1e-3, 7.5e-4, 5e-4, 2.5e-4])


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_the_fall_is_that_of_transformers(decay: str) -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1e-3)
    schedule = SCHEDULES[decay](optimizer, num_warmup_steps=4, num_training_steps=40)
    expected = []
    for _step in range(40):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates(40, decay=decay, warmup_fraction=0.1)[4:] == pytest.approx(expected[4:])


def test_a_constant_rate_stays_after_the_warm_up() -> None:
    assert rates(10, decay="constant", warmup_fraction=0.2)[1:] == [1e-3] * 9


def test_no_step_has_rate_zero() -> None:
    for total in (1, 2, 7, 100):
        for decay in ("linear", "cosine", "constant"):
            assert min(rates(total, decay=decay, warmup_fraction=0.1)) > 0


def test_biases_and_norms_do_not_decay_and_frozen_weights_are_left_out() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Embedding(3, 4))
    frozen = nn.Linear(2, 2).requires_grad_(False)
    module.append(frozen)
    decays, keeps = make_optimizer(module, TrainingSection(weight_decay=0.1)).param_groups
    assert [tuple(p.shape) for p in decays["params"]] == [(4, 4), (3, 4)]
    assert (decays["weight_decay"], keeps["weight_decay"]) == (0.1, 0.0)
    assert [tuple(p.shape) for p in keeps["params"]] == [(4,), (4,), (4,)]


def test_a_step_is_that_of_plain_adamw() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(8, 6), nn.Linear(8, 6)
    theirs.load_state_dict(ours.state_dict())
    optimizers = (
        make_optimizer(ours, TrainingSection(learning_rate=1e-2, weight_decay=0.0)),
        torch.optim.AdamW(theirs.parameters(), lr=1e-2, weight_decay=0.0, fused=False),
    )
    data = torch.randn(16, 8)
    for module, optimizer in zip((ours, theirs), optimizers, strict=True):
        for _step in range(3):
            optimizer.zero_grad()
            module(data).square().sum().backward()
            optimizer.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)  # measured: 4e-9


def test_a_driver_without_a_gpu_computes_in_fp32_what_workers_compute_in_fp16() -> None:
    linear, values = nn.Linear(3, 2), torch.ones(1, 3)
    with arithmetic("fp16", torch.device("cpu")):
        assert linear(values).dtype == torch.float32
    with arithmetic("bf16", torch.device("cpu")):
        assert linear(values).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx2": True, "avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
    ],
)
def test_auto_is_bf16_where_the_processor_computes_it(
    capabilities: dict[str, bool], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    computes_bf16.cache_clear()
    try:
        with arithmetic("auto", torch.device("cpu")):
            assert nn.Linear(3, 2)(torch.ones(1, 3)).dtype == dtype
    finally:
        computes_bf16.cache_clear()


def test_only_fp16_scales_the_loss() -> None:
    device = torch.device("cpu")
    enabled = [make_scaler(precision, device).is_enabled() for precision in ("fp32", "auto", "bf16", "fp16")]
    assert enabled == [False, False, False, True]
