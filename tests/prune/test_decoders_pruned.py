"""Every way of pruning, on decoders: the structured method, and those that zero weights."""

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from hone.configs.model import PruneSettings
from hone.tasks.model.architectures.decoders import DECODERS
from hone.tasks.model.architectures.layers import layer_modules, model_layers, set_layers
from hone.tasks.model.architectures.linears import inner_linears, weight_of
from hone.tasks.model.checkpoints.checkpoint import load_tokenizer, save_model
from hone.tasks.model.training.modifier import Calibration
from hone.tasks.prune.importance import _gated, importance
from hone.tasks.prune.masks import sparsity_of
from hone.tasks.prune.methods import METHODS
from hone.tasks.prune.patterns import share_of_groups_kept
from hone.tasks.prune.structured import Structured
from tests.prune.decoders import BATCH, FAMILIES, LAYERS, logits, tiny
from tests.tiny import write_encoder

FRACTIONS = {"layers": "layer_fraction", "heads": "head_fraction", "neurons": "neuron_fraction"}


def next_tokens(model):
    """The sum of a batch's losses, of each token but a row's first."""

    def loss(batch):
        given = {name: batch[name] for name in ("input_ids", "attention_mask")}
        found = model(**given).logits[:, :-1].flatten(0, 1)
        wanted = torch.where(batch["attention_mask"].bool(), batch["input_ids"], -100)[:, 1:].flatten()
        return F.cross_entropy(found, wanted, reduction="sum")

    return loss


def calibration() -> Calibration:
    return Calibration(lambda: iter([BATCH]), lambda model, kept: next_tokens(model))


@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_what_can_be_removed_is_removed_and_plain_transformers_loads_it(kind: str, tmp_path: Path) -> None:
    model = tiny(kind)
    able = {name: 0.5 * (ability not in DECODERS[kind].cannot) for ability, name in FRACTIONS.items()}
    kept = Structured(PruneSettings(**able, neuron_multiple=8)).prepare(model, calibration())
    parts = layer_modules(model)
    layers = 2 if able["layer_fraction"] else LAYERS
    assert len(kept) == len(parts) == model.config.num_hidden_layers == layers
    assert (kept[0], kept[-1]) == (0, LAYERS - 1)
    assert {part.heads for part in parts} == {2 if able["head_fraction"] else 4}
    assert {part.neurons for part in parts} == {24 if able["neuron_fraction"] else 48}
    save_model(model, load_tokenizer(write_encoder(tmp_path / "tokenizer")), tmp_path / "pruned")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "pruned", attn_implementation="eager").eval()
    assert not hasattr(plain.config, "hone")
    assert sum(p.numel() for p in plain.parameters()) < sum(p.numel() for p in tiny(kind).parameters())
    assert torch.equal(logits(plain), logits(model))


def test_the_layer_goes_without_which_the_loss_is_least() -> None:
    losses = {}
    for kept in ((0, 1, 3), (0, 2, 3)):
        cut = tiny("llama")
        set_layers(cut, [model_layers(cut)[place] for place in kept])
        losses[kept] = next_tokens(cut)(BATCH).item()
    settings = PruneSettings(layer_fraction=0.25, head_fraction=0, neuron_fraction=0)
    found = Structured(settings).prepare(tiny("llama"), calibration())
    assert tuple(found) == min(losses, key=losses.get)
    assert max(losses.values()) > min(losses.values()) + 0.5


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_importance_is_the_slope_of_the_loss_as_a_group_or_neuron_is_shut(kind: str) -> None:
    """Against central differences, of one row: the gates are each row's own. RMSNorm computes in fp32 whatever the
    model's numbers are, so the steps are not small."""
    model, step = tiny(kind, layers=2).double(), 1e-3
    row = {name: values[:1] for name, values in BATCH.items()}
    found = importance(model, [row], next_tokens(model))

    def slope(gate: int, place: int) -> float:
        values = []
        for sign in (1, -1):
            with _gated(model, 1) as gates, torch.no_grad():
                gates[gate].view(-1)[place] += sign * step
                values.append(next_tokens(model)(row).item())
        return abs(values[0] - values[1]) / (2 * step)

    for layer, part in enumerate(layer_modules(model)):
        assert found.heads[layer].tolist() == pytest.approx(
            [slope(3 * layer, group) for group in range(part.groups)], rel=1e-2
        )
        assert found.neurons[layer][7].item() == pytest.approx(slope(3 * layer + 1, 7), rel=1e-2)
        assert found.layers[layer].item() == pytest.approx(slope(3 * layer + 2, 0), rel=1e-2)


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "phi3"])
def test_half_of_the_linear_weights_go_and_the_table_stays(kind: str, method: str) -> None:
    model = tiny(kind, layers=2)
    table = model.lm_head.weight.detach().clone()
    for pattern in ("unstructured", "2:4"):
        pruned = copy.deepcopy(model)
        settings = PruneSettings(method=method, pattern=pattern)
        assert METHODS[method](settings).prepare(pruned, calibration()) == [0, 1]
        assert sparsity_of(pruned) == pytest.approx(0.5, abs=1e-3)
        assert torch.equal(pruned.lm_head.weight, table)
        assert pattern == "unstructured" or share_of_groups_kept(pruned, 2, 4) == 1


def test_the_zeros_of_transposed_weights_are_held_while_the_rest_trains() -> None:
    model = tiny("gpt2", layers=1)
    mask = METHODS["wanda"](PruneSettings(method="wanda", pattern="2:4"))
    mask.prepare(model, calibration())
    mask.begin(model)
    with torch.no_grad():
        for name in inner_linears(model):
            weight_of(model, name).add_(1)
    mask.after_step()
    assert share_of_groups_kept(model, 2, 4) == 1
