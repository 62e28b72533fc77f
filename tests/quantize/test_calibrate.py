"""Static scales lose least on what they were set by."""

import numpy as np
import pytest
import torch

from tasks.model.fake_quantization import plan_for
from tasks.model.text import TokenizedText
from tasks.quantize.calibrate import best_scale, calibrate
from tasks.quantize.measure import spread
from tests.prune.encoders import tiny


def text(rows: int, length: int, seed: int = 0) -> TokenizedText:
    ids = np.random.default_rng(seed).integers(5, 60, rows * length).astype(np.int32)
    return TokenizedText(ids, np.arange(rows + 1) * length, None, np.zeros(rows, np.int64))


def error(magnitudes: torch.Tensor, scale: float) -> float:
    rounded = torch.clamp(torch.round(magnitudes / scale), max=127) * scale
    return float(((rounded - magnitudes) ** 2).mean())


def test_values_that_lie_on_a_grid_get_that_grid():
    assert best_scale(torch.arange(128) * 0.5) == pytest.approx(0.5)


def test_a_lone_outlier_is_clipped_when_there_are_many_others():
    torch.manual_seed(0)
    many = torch.cat([torch.randn(1_000_000).abs(), torch.tensor([15.0])])
    assert best_scale(many) < 0.8 * 15 / 127
    few = torch.cat([torch.rand(100), torch.tensor([15.0])])
    assert best_scale(few) == pytest.approx(15 / 127, rel=0.02)


def test_no_other_scale_that_was_tried_is_better():
    torch.manual_seed(1)
    magnitudes = torch.distributions.Exponential(1.0).sample((20_000,))
    found = error(magnitudes, best_scale(magnitudes))
    largest = float(magnitudes.max())
    assert all(found <= error(magnitudes, share * largest / 127) * 1.001 for share in np.linspace(0.2, 1, 41))


def test_a_layer_that_sees_nothing_but_zeros_has_scale_1():
    assert best_scale(torch.zeros(10)) == 1.0


def test_every_linear_layer_gets_a_scale_and_no_hook_stays():
    model = tiny("bert")
    plan = plan_for(model, "static", tables=True)
    scales = calibrate(model, plan, text(12, 9), np.arange(12), pad_id=0)
    assert list(scales) == list(plan.linears)
    assert all(0 < scale < 1 for scale in scales.values())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_query_key_and_value_read_the_same_and_get_the_same_scale_but_in_the_last_layer():
    model = tiny("bert")
    scales = calibrate(model, plan_for(model, "static", tables=True), text(12, 9), np.arange(12), pad_id=0)
    first, last = (f"bert.encoder.layer.{layer}.attention.self." for layer in (0, 2))
    assert scales[f"{first}query"] == scales[f"{first}key"] == scales[f"{first}value"]
    assert scales[f"{last}key"] == scales[f"{last}value"]
    assert scales[f"{last}query"] != scales[f"{last}key"]


@pytest.mark.parametrize(("rows", "most", "expected"), [(5, 10, [0, 1, 2, 3, 4]), (10, 4, [0, 3, 6, 9]), (1, 3, [0])])
def test_rows_are_spread_evenly(rows, most, expected):
    assert spread(rows, most).tolist() == expected
