"""First-order importance against finite differences and by hand."""

import pytest
import torch
import torch.nn.functional as F

from hone.tasks.model.architectures.layers import layer_modules
from hone.tasks.prune.importance import _gated, importance
from tests.prune.encoders import BATCH, CONFIGS, tiny

LABELS = torch.tensor([0, 1])
FULL = {**BATCH, "labels": LABELS}


def loss_of(model):
    def loss(batch):
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        return F.cross_entropy(model(**inputs).logits, batch["labels"], reduction="sum")

    return loss


def rows(*places):
    return {name: value[list(places)] for name, value in FULL.items()}


@pytest.mark.parametrize("kind", sorted(CONFIGS))
def test_importance_is_the_slope_of_the_loss_as_a_part_is_shut(kind):
    """Against central differences of each row's own loss in fp64."""
    model = tiny(kind).double()
    found = importance(model, [FULL], loss_of(model))
    step = 1e-6

    def slope(gate_place, part):
        total = 0.0
        for row in (0, 1):
            values = []
            for sign in (1, -1):
                with _gated(model, 1) as gates, torch.no_grad():
                    gates[gate_place].view(-1)[part] += sign * step
                    values.append(loss_of(model)(rows(row)).item())
            total += abs(values[0] - values[1]) / (2 * step)
        return total / 2

    for layer in range(3):
        for head in range(4):
            assert found.heads[layer][head].item() == pytest.approx(slope(3 * layer, head), rel=1e-4, abs=1e-7)
        for neuron in (0, 17, 47):
            expected = slope(3 * layer + 1, neuron)
            assert found.neurons[layer][neuron].item() == pytest.approx(expected, rel=1e-4, abs=1e-7)
        assert found.layers[layer].item() == pytest.approx(slope(3 * layer + 2, 0), rel=1e-4, abs=1e-7)


def test_an_open_gate_changes_nothing_and_a_shut_one_zeroes_the_part():
    model = tiny("bert")
    before = model(**BATCH).logits
    with _gated(model, 2) as gates, torch.no_grad():
        assert torch.allclose(model(**BATCH).logits, before, atol=1e-6)
        gates[0][:, 2] = 0
        gates[4][:, 7] = 0
        shut = model(**BATCH).logits
    with torch.no_grad():
        layer_modules(model)[0].attention_output.weight[:, 16:24] = 0
        layer_modules(model)[1].feed_out.weight[:, 7] = 0
    assert torch.allclose(model(**BATCH).logits, shut, atol=1e-5)


def test_gates_are_gone_afterwards_and_the_mode_is_what_it_was():
    model = tiny("bert").train()
    importance(model, [FULL], loss_of(model))
    assert model.training
    hooked = [m for m in model.modules() if m._forward_pre_hooks or m._forward_hooks]
    assert hooked == []
    assert all(parameter.grad is None for parameter in model.parameters())


def test_importance_does_not_hang_on_how_rows_are_batched():
    model = tiny("bert")
    whole = importance(model, [FULL], loss_of(model))
    single = importance(model, [rows(0), rows(1)], loss_of(model))
    for one, other in zip([*whole.heads, *whole.neurons], [*single.heads, *single.neurons], strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert torch.allclose(whole.layers, single.layers, atol=1e-6)


def test_examples_that_pull_in_opposite_directions_do_not_cancel():
    """The same row with both labels: its two gradients nearly cancel in a sum, and the importance stays."""
    model = tiny("bert")
    both = {**rows(0, 0), "labels": LABELS}
    found = importance(model, [both], loss_of(model))
    alone = importance(model, [rows(0)], loss_of(model))
    for one, other in zip(found.heads, alone.heads, strict=True):
        assert one.max() > 0.3 * other.max()


def test_a_part_whose_output_is_nothing_has_no_importance():
    model = tiny("bert")
    with torch.no_grad():
        layer_modules(model)[1].attention_output.weight[:, 8:16] = 0
        layer_modules(model)[2].feed_out.weight[:, 5] = 0
    found = importance(model, [FULL], loss_of(model))
    assert found.heads[1][1] == 0
    assert found.neurons[2][5] == 0
    assert found.heads[1][0] > 0
