"""Static scales lose least on what they were set by."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from hone.tasks.errors import TrainingError
from hone.tasks.model.text import TokenizedText
from hone.tasks.model.training.fake_quantization import plan_for
from hone.tasks.quantize.calibrate import Histogram, calibrate
from hone.tasks.quantize.calibrate import best_scale as best_scale_of
from hone.tasks.quantize.measure import drawn
from tests.prune.encoders import CONFIGS, tiny


def text(rows: int, length: int, seed: int = 0) -> TokenizedText:
    ids = np.random.default_rng(seed).integers(5, 60, rows * length).astype(np.int32)
    return TokenizedText(ids, np.arange(rows + 1) * length, None, np.zeros(rows, np.int64))


def best_scale(magnitudes: torch.Tensor) -> float:
    return best_scale_of(magnitudes, float(magnitudes.max()))


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


@pytest.mark.parametrize("length", [16, 32, 64, 128])
def test_a_channel_that_is_larger_than_all_others_counts_whatever_the_length(length):
    """It is 20 times as wide as the others, and one scale has to do for all of them."""
    model = tiny_of_length(128)
    with torch.no_grad():
        model.bert.embeddings.LayerNorm.weight[5] = 20.0
    read: list[torch.Tensor] = []
    layer = "bert.encoder.layer.0.attention.self.query"
    handle = model.get_submodule(layer).register_forward_pre_hook(lambda _m, inputs: read.append(inputs[0].flatten()))
    rows = text(64, length)
    scales = calibrate(model, plan_for(model, "static", tables=True), rows, np.arange(64), pad_id=0)
    handle.remove()
    everything = torch.cat(read).abs()
    assert scales[layer] == pytest.approx(best_scale(everything), rel=0.012)  # the next of the shares that are tried
    assert error(everything, scales[layer]) <= 1.001 * error(everything, best_scale(everything))


def tiny_of_length(positions: int):
    torch.manual_seed(0)
    config = CONFIGS["bert"].__class__(**{**CONFIGS["bert"].to_dict(), "max_position_embeddings": positions})
    return AutoModelForSequenceClassification.from_config(config).eval()


def test_padding_does_not_count():
    model = tiny("bert")
    plan = plan_for(model, "static", tables=True)
    ids = np.random.default_rng(0).integers(5, 60, 4 + 30).astype(np.int32)
    padded = TokenizedText(ids, np.array([0, 4, 34]), None, np.zeros(2, np.int64))
    together = calibrate(model, plan, padded, np.arange(2), pad_id=0)
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[0] = 50.0
        model.bert.embeddings.word_embeddings.weight[0, ::2] = -50.0
    layer = "bert.encoder.layer.0.attention.self.query"
    assert calibrate(model, plan, padded, np.arange(2), pad_id=0)[layer] == together[layer]


def test_a_histogram_holds_every_magnitude_however_large_the_later_ones_are():
    found, parts = Histogram(), [torch.zeros(3), torch.rand(500) - 0.5, torch.randn(500) * 40, torch.tensor([3.0])]
    for part in parts:
        found.add(part)
    everything = torch.cat(parts).abs()
    assert int(found.counts.sum()) == len(everything)
    assert found.largest == float(everything.max())
    mean = float((found.counts * found.centres).sum() / found.counts.sum())
    assert mean == pytest.approx(float(everything.mean()), rel=1e-3)


def test_a_model_that_computes_nan_is_told_by_its_layer():
    model = tiny("bert")
    with torch.no_grad():
        model.bert.embeddings.LayerNorm.bias[5] = float("nan")
    with pytest.raises(TrainingError, match=r"layer\.0\.attention\.self\.query: what this layer reads is not finite"):
        calibrate(model, plan_for(model, "static", tables=True), text(4, 9), np.arange(4), pad_id=0)


def test_rows_are_drawn_and_not_counted_out():
    """Labels that alternate would leave one label out, if every second row were taken."""
    labels = np.arange(1000) % 2
    chosen = drawn(1000, 500, seed=0)
    assert len(np.unique(chosen)) == 500
    assert 200 < labels[chosen].sum() < 300
    assert chosen.tolist() == sorted(chosen) == drawn(1000, 500, seed=0).tolist() != drawn(1000, 500, seed=1).tolist()
    assert drawn(5, 10, seed=0).tolist() == [0, 1, 2, 3, 4]
