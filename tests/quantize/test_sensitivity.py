"""Layers that cannot bear eight bits are found by measurement."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers.modeling_outputs import SequenceClassifierOutput

from hone.tasks.model.text import TokenizedText
from hone.tasks.model.training.fake_quantization import QuantizationConfig, plan_for
from hone.tasks.objectives.learning import learning
from hone.tasks.quantize.measure import Answers, answer
from hone.tasks.quantize.sensitivity import LayerSensitivity, cost_of, measure_costs, p_lost, too_sensitive
from tests.prune.encoders import logits, tiny

CULPRIT = "bert.encoder.layer.1.intermediate.dense"
ROWS = np.arange(192)
CLASSES = learning("text-classification")


@pytest.fixture(scope="module")
def model():
    return tiny("bert")


@pytest.fixture(scope="module")
def text(model):
    """Labelled by the model itself, so that it is right about every row."""
    ids = np.random.default_rng(0).integers(5, 60, len(ROWS) * 8).astype(np.int32)
    blank = TokenizedText(ids, np.arange(len(ROWS) + 1) * 8, None, np.zeros(len(ROWS), np.int64))
    return replace(blank, labels=torch.cat(answer(model, CLASSES, blank, 0).targets).argmax(dim=1).numpy())


@pytest.fixture(scope="module")
def costs(model, text):
    """With every scale right but that of one layer, which rounds all it reads to nothing."""
    plan = plan_for(model, "static", tables=True)
    plan = plan.with_scales({name: 1e4 if name == CULPRIT else 0.03 for name in plan.linears})
    told: list[str] = []
    found = measure_costs(model, plan, CLASSES, text=text, rows=ROWS, pad_id=0, on_layer_done=told.append)
    assert told == [*plan.linears, *plan.tables]
    return found


def test_the_layer_that_breaks_the_model_is_the_dearest(costs):
    assert costs[0].layer == CULPRIT
    assert costs[0].lost > 0.05
    assert costs[0].divergence > 10 * costs[1].divergence
    assert too_sensitive(costs, 0.005, 0.05, 2) == [CULPRIT]


def test_every_layer_was_measured_alone_and_the_model_is_what_it_was(costs, model):
    assert len(costs) == 20 + 3
    assert torch.equal(logits(model), logits(tiny("bert")))
    harmless = [cost for cost in costs if cost.layer != CULPRIT]
    assert max(cost.lost for cost in harmless) < 0.05


def test_the_dearest_by_the_divergence_of_their_predictions_come_first(costs):
    assert [cost.divergence for cost in costs] == sorted((cost.divergence for cost in costs), reverse=True)


def test_at_most_so_many_layers_are_kept_and_none_that_costs_no_more_than_allowed_or_is_not_shown_to():
    costs = [
        LayerSensitivity("a", 0.03, 4.0, 1e-4),
        LayerSensitivity("n", 0.9, 3.0, 0.2),
        LayerSensitivity("b", 0.02, 2.0, 1e-4),
        LayerSensitivity("c", 0.01, 1.0, 0),
    ]
    assert too_sensitive(costs, 0.01, 0.05, 5) == ["a", "b"]
    assert too_sensitive(costs, 0.01, 0.05, 1) == ["a"]
    assert too_sensitive(costs, 0.01, 0.05, 0) == []
    assert too_sensitive(costs, 0.5, 0.05, 5) == []
    assert too_sensitive(costs, 0.01, 1e-4, 5) == []  # after the correction neither is shown any more
    assert too_sensitive([], 0.01, 0.05, 5) == []


def test_rows_lost_and_won_by_hand():
    assert p_lost(0, 0) == 1.0
    assert p_lost(5, 0) == pytest.approx(1 / 32)
    assert p_lost(2, 1) == pytest.approx(0.5)
    labels = torch.tensor([0, 1, 1])
    one = said(torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), labels)
    other = said(torch.tensor([[0.0, 2.0], [0.0, 1.0], [0.0, 1.0]]), labels, one)
    cost = cost_of("x", one, other)
    assert (cost.lost, cost.p_value) == (0.0, p_lost(1, 1))
    assert cost.divergence == pytest.approx((2 * np.tanh(1) + np.tanh(0.5)) / 3)


def test_a_loss_is_one_where_the_metric_is_below_zero_too():
    """As a log likelihood is."""
    before, after = (Answers([], {}, score, torch.zeros(3), []) for score in (-2.0, -2.2))
    assert cost_of("x", before, after).lost == pytest.approx(0.1)
    assert cost_of("x", after, before).lost == pytest.approx(-1 / 11)


def test_noise_is_called_sensitive_no_more_often_than_the_level_says():
    """25 layers that flip the answers to 3 % of 300 rows at random, as many to right as to wrong, in 2,000 models."""
    draw, level, called = np.random.default_rng(0), 0.05, 0
    flipped = draw.binomial(300, 0.03, size=(2000, 25))
    worse = draw.binomial(flipped, 0.5)
    for changed, lost in zip(flipped, worse, strict=True):
        costs = [
            LayerSensitivity(str(place), (2 * bad - all_) / 270, 0.1, P_LOST[bad][all_ - bad])
            for place, (bad, all_) in enumerate(zip(lost.tolist(), changed.tolist(), strict=True))
        ]
        called += bool(too_sensitive(costs, 0.005, level, 2))
    assert called / 2000 <= level
    assert called  # the test is not one that nothing ever fails


P_LOST = [[p_lost(worse, better) for better in range(31)] for worse in range(31)]


def test_a_plan_that_keeps_layers_says_so_and_quantises_the_rest():
    plan = QuantizationConfig("dynamic", ("a", "b"), ("t", "u"), ("b",)).excluding(["b", "t"])
    assert (plan.linears, plan.tables, plan.kept) == (("a",), ("u",), ("b", "t"))


def test_accuracy_and_loss_by_hand():
    found = said(torch.tensor([[2.0, 0.0], [0.0, 0.0], [-1.0, 1.0]]), torch.tensor([0, 1, 1]))
    assert found.score == pytest.approx(2 / 3)
    assert found.metrics["loss"] == pytest.approx((np.log1p(np.exp(-2)) * 2 + np.log(2)) / 3)


def said(rows: torch.Tensor, labels: torch.Tensor, reference: Answers | None = None) -> Answers:
    """The answers of a model that says these logits, each row alone in its text."""

    class Parrot(torch.nn.Module):
        device = torch.device("cpu")

        def forward(self, input_ids, attention_mask):
            return SequenceClassifierOutput(logits=rows[input_ids[:, 0]])

    count = len(rows)
    text = TokenizedText(np.arange(count, dtype=np.int32), np.arange(count + 1), None, labels.numpy())
    return answer(Parrot(), CLASSES, text, 0, reference=reference)
