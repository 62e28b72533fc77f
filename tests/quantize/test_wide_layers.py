"""Which layers get 8 bits: the cost that gradients tell, against the divergence that rounding really makes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr

from hone.tasks.model.architectures.linears import weight_of
from hone.tasks.model.text import TokenizedText
from hone.tasks.model.training.fake_quantization import QuantizationConfig, plan_for
from hone.tasks.objectives.learning import learning
from hone.tasks.quantize.wide_layers import rounding_costs, widened
from tests.prune.decoders import tiny

ROWS, LENGTH = 48, 24


def text() -> TokenizedText:
    """Tokens that the model itself is likely to write, so that the gradients are those of its own predictions."""
    model = tiny("llama", layers=3)
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 64, (ROWS, 1), generator=draw)
    with torch.no_grad():
        while ids.shape[1] < LENGTH:
            chances = model(ids).logits[:, -1].softmax(dim=-1)
            ids = torch.cat([ids, torch.multinomial(chances, 1, generator=draw)], dim=1)
    labels = np.full((ROWS, LENGTH), -100, np.int64)
    labels[:, :-1] = ids[:, 1:].numpy()
    return TokenizedText(
        ids=ids.numpy().reshape(-1).astype(np.int32),
        offsets=np.arange(ROWS + 1, dtype=np.int64) * LENGTH,
        type_ids=None,
        labels=labels.reshape(-1),
        by_token=True,
        weights=np.full(ROWS, LENGTH - 1, np.int64),
    )


@pytest.fixture(scope="module")
def measured() -> tuple[torch.nn.Module, QuantizationConfig, dict[str, float]]:
    model = tiny("llama", layers=3)
    plan = plan_for(model, "blockwise", tables=True, bits=4, block=16)
    done: list[int] = []
    costs = rounding_costs(
        model,
        plan,
        learning("text-generation"),
        text=text(),
        rows=np.arange(ROWS),
        pad_id=0,
        on_row_done=done.append,
    )
    assert done == list(range(1, ROWS + 1))
    return model, plan, costs


def test_the_costs_rank_layers_as_the_divergence_of_rounding_each_alone(measured) -> None:
    model, plan, costs = measured
    assert set(costs) == set(plan.linears) - {"lm_head"}
    ids = torch.from_numpy(text().ids.reshape(ROWS, LENGTH).astype(np.int64))
    with torch.no_grad():
        exact = F.log_softmax(model(ids).logits, dim=-1)
        real = {}
        for name in costs:
            weight = weight_of(model, name)
            kept = weight.clone()
            weight.copy_(plan.rounded(name, weight))
            found = F.log_softmax(model(ids).logits, dim=-1)
            weight.copy_(kept)
            real[name] = float((exact.exp() * (exact - found)).sum(dim=-1).mean())
    names = list(costs)
    order = spearmanr([costs[name] for name in names], [real[name] for name in names]).statistic
    assert order > 0.9  # measured 0.99
    ratio = np.log([costs[name] / real[name] for name in names])
    assert abs(float(np.median(ratio))) < np.log(1.5)  # and of the same size: measured 0.89 of it


def test_the_dearest_layers_for_their_weights_are_widened_as_far_as_the_share_goes(measured) -> None:
    model, plan, costs = measured
    sizes = {name: weight_of(model, name).numel() for name in costs}
    wide = widened(plan, model, costs, share=0.4)
    more = [name for name in wide.wide if name not in plan.wide]
    assert 0.2 * sum(sizes.values()) < sum(sizes[name] for name in more) <= 0.4 * sum(sizes.values())
    assert all(wide.bits_of(name) == (8 if name in more or name == "lm_head" else 4) for name in wide.linears)
    assert widened(plan, model, costs, share=0.0) == plan


def test_queries_keys_and_values_have_the_same_bits(measured) -> None:
    model, plan, costs = measured
    dear = {name: 1.0 if name.endswith("layers.1.self_attn.k_proj") else 1e-9 for name in costs}
    wide = widened(replace(plan), model, dear, share=0.15)
    parts = {name.rpartition(".")[2] for name in wide.wide if ".layers.1.self_attn." in name}
    assert {"q_proj", "k_proj", "v_proj"} <= parts
