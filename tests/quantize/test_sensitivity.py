"""Layers that cannot bear eight bits are found by measurement."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tasks.model.fake_quantization import Plan, plan_for
from tasks.model.text import TokenizedText
from tasks.quantize.measure import Answers, answer
from tasks.quantize.sensitivity import Cost, measure_costs, too_sensitive
from tests.prune.encoders import logits, tiny

CULPRIT = "bert.encoder.layer.1.intermediate.dense"
ROWS = np.arange(96)


@pytest.fixture(scope="module")
def model():
    return tiny("bert")


@pytest.fixture(scope="module")
def text(model):
    """Labelled by the model itself, so that it is right about every row."""
    ids = np.random.default_rng(0).integers(5, 60, len(ROWS) * 8).astype(np.int32)
    blank = TokenizedText(ids, np.arange(len(ROWS) + 1) * 8, None, np.zeros(len(ROWS), np.int64))
    return replace(blank, labels=answer(model, blank, 0).logits.argmax(dim=1).numpy())


@pytest.fixture(scope="module")
def costs(model, text):
    """With every scale right but that of one layer, which rounds all it reads to nothing."""
    plan = plan_for(model, "static", tables=True)
    plan = plan.scaled({name: 1e4 if name == CULPRIT else 0.03 for name in plan.linears})
    told: list[str] = []
    found = measure_costs(model, plan, text=text, rows=ROWS, pad_id=0, behind=told.append)
    assert told == [*plan.linears, *plan.tables]
    return found


def test_the_layer_that_breaks_the_model_is_the_dearest(costs):
    assert costs[0].layer == CULPRIT
    assert costs[0].accuracy > 0.05
    assert costs[0].logit_error > 10 * costs[1].logit_error


def test_every_layer_was_measured_alone_and_the_model_is_what_it_was(costs, model):
    assert len(costs) == 20 + 3
    assert torch.equal(logits(model), logits(tiny("bert")))
    harmless = [cost for cost in costs if cost.layer != CULPRIT]
    assert max(cost.accuracy for cost in harmless) < 0.05


def test_equals_in_accuracy_are_ordered_by_the_error_of_their_logits(costs):
    order = [(-cost.accuracy, -cost.logit_error) for cost in costs]
    assert order == sorted(order)


def test_at_most_so_many_layers_are_kept_and_none_that_costs_no_more_than_allowed():
    costs = [Cost("a", 0.03, 1.0), Cost("b", 0.02, 1.0), Cost("c", 0.01, 1.0), Cost("d", -0.01, 1.0)]
    assert too_sensitive(costs, 0.01, 5) == ["a", "b"]
    assert too_sensitive(costs, 0.01, 1) == ["a"]
    assert too_sensitive(costs, 0.01, 0) == []
    assert too_sensitive(costs, 0.5, 5) == []


def test_a_plan_that_keeps_layers_says_so_and_quantises_the_rest():
    plan = Plan("dynamic", ("a", "b"), ("t", "u"), ("b",)).keeping(["b", "t"])
    assert (plan.linears, plan.tables, plan.kept) == (("a",), ("u",), ("b", "t"))


def test_accuracy_and_loss_by_hand():
    found = Answers(torch.tensor([[2.0, 0.0], [0.0, 0.0], [-1.0, 1.0]]), torch.tensor([0, 1, 1]))
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.loss == pytest.approx((np.log1p(np.exp(-2)) * 2 + np.log(2)) / 3)
