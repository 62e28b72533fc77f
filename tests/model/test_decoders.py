"""Decoders of every known family: where their parts are, that taking rows out of them takes out groups and neurons, and
that what is left is a shape that plain transformers reads off the config."""

import copy
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, PreTrainedModel

from hone.tasks.errors import ModelError
from hone.tasks.model.architectures.decoders import DECODERS
from hone.tasks.model.architectures.layers import layer_modules, model_layers, only_layers, set_layers
from hone.tasks.model.architectures.linears import embeddings, inner_linears, linear_names, matrix, weight_of
from hone.tasks.model.architectures.shapes import keep_heads, keep_neurons, shape_record
from hone.tasks.model.architectures.use import use_of
from hone.tasks.model.training.fake_quantization import attach, detach, plan_for, weight_grid
from tests.prune.decoders import BATCH, FAMILIES, GROUPS, HEAD_SIZE, LAYERS, logits, tiny

KINDS = sorted(FAMILIES)


def able(ability: str) -> list[str]:
    return [kind for kind in KINDS if ability not in DECODERS[kind].cannot]


def reloaded(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """As anybody loads it."""
    model.save_pretrained(folder)
    plain, report = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["mismatched_keys"]
    return plain.eval()


def test_the_families_are_those_of_the_table() -> None:
    assert set(FAMILIES) == set(DECODERS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_family_shows_its_parts(kind: str) -> None:
    model, size = tiny(kind), HEAD_SIZE.get(kind, 8)
    assert len(model_layers(model)) == LAYERS
    for part in layer_modules(model):
        assert (part.heads, part.head_size, part.neurons) == (4, size, 48)
        assert matrix(part.attention_output).shape == (32, 4 * size)
        assert matrix(part.feed_out).shape == (32, 48)
        if "relations" in DECODERS[kind].cannot and part.query is not None:
            assert part.groups == GROUPS.get(kind, 2)
            assert part.group_width == 4 * size // part.groups
            assert [matrix(each).shape[0] for each in part.projections] == [4 * size, *[part.groups * size] * 2]
    assert any(table.num_embeddings == 64 for table in embeddings(model).values())


@pytest.mark.parametrize("kind", able("heads"))
def test_a_removed_group_is_a_zeroed_one_and_the_config_says_the_shape(kind: str, tmp_path: Path) -> None:
    model, kept = tiny(kind), [[0], [1], [1], [0]]
    zeroed = copy.deepcopy(model)
    with torch.no_grad():
        for part, [group] in zip(layer_modules(zeroed), kept, strict=True):
            gone, width = 1 - group, part.group_width
            part.attention_output.weight[:, gone * width : (gone + 1) * width] = 0
    before = logits(model)
    keep_heads(model, kept)
    assert (logits(zeroed) - before).abs().max() > 1e-2
    assert torch.allclose(logits(model), logits(zeroed), atol=1e-5)
    config, size = model.config, HEAD_SIZE.get(kind, 8)
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (2, 1, size)
    assert shape_record(model) is None
    assert torch.equal(logits(reloaded(model, tmp_path)), logits(model))


@pytest.mark.parametrize("kind", able("neurons"))
def test_removed_neurons_are_zeroed_ones_and_the_config_says_the_shape(kind: str, tmp_path: Path) -> None:
    model, kept = tiny(kind), [list(range(layer, 48, 2))[:16] for layer in range(LAYERS)]
    zeroed = copy.deepcopy(model)
    with torch.no_grad():
        for part, neurons in zip(layer_modules(zeroed), kept, strict=True):
            matrix(part.feed_out)[:, sorted(set(range(48)) - set(neurons))] = 0
    before = logits(model)
    keep_neurons(model, kept)
    assert (logits(zeroed) - before).abs().max() > 1e-2
    assert torch.allclose(logits(model), logits(zeroed), atol=1e-5)
    assert getattr(model.config, DECODERS[kind].neurons_field) == 16
    assert shape_record(model) is None
    assert torch.equal(logits(reloaded(model, tmp_path)), logits(model))


@pytest.mark.parametrize("kind", able("layers"))
def test_removed_layers_are_passed_by_and_the_config_says_how_many(kind: str, tmp_path: Path) -> None:
    model = tiny(kind)
    passed_by = copy.deepcopy(model)
    for place in (1, 2):
        model_layers(passed_by)[place].register_forward_hook(lambda _m, inputs, _out: inputs[0])
    before, layers = logits(model), list(model_layers(model))
    set_layers(model, [layers[0], layers[3]])
    assert (logits(model) - before).abs().max() > 1e-2
    assert torch.allclose(logits(model), logits(passed_by), atol=1e-5)
    assert torch.equal(logits(reloaded(model, tmp_path)), logits(model))


@pytest.mark.parametrize("kind", able("layers"))
def test_without_some_layers_a_cache_gives_what_reading_all_at_once_gives(kind: str) -> None:
    model = tiny(kind)
    layers = list(model_layers(model))
    set_layers(model, [layers[1], layers[3]])
    ids = BATCH["input_ids"][:1]
    with torch.no_grad():
        whole, kept = model(ids).logits, model(ids[:, :7], use_cache=True).past_key_values
        last = model(ids[:, 7:], past_key_values=kept).logits
    assert torch.allclose(last[0, 0], whole[0, 7], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_with_some_layers_alone_is_as_before_afterwards(kind: str) -> None:
    model = tiny(kind)
    before, config = logits(model), copy.deepcopy(model.config.to_dict())
    with only_layers(model, [0, 3]):
        assert model.config.num_hidden_layers == 2
        assert (logits(model) - before).abs().max() > 1e-2
    assert torch.equal(logits(model), before)
    assert model.config.to_dict() == config


def test_shapes_that_the_config_cannot_say_are_refused_with_the_rule() -> None:
    with pytest.raises(ModelError, match=r"'llama'.* keep \[2, 1, 1, 1\] heads, and its config.json says one number"):
        keep_heads(tiny("llama"), [[0, 1], [0], [0], [1]])
    with pytest.raises(ModelError, match=r"'llama'.* keep \[3, 3, 3, 4\] neurons"):
        keep_neurons(tiny("llama"), [[0, 1, 2]] * 3 + [[0, 1, 2, 3]])
    with pytest.raises(ModelError, match=r"'qwen2' cannot lose heads: vLLM and llama.cpp take its head size"):
        keep_heads(tiny("qwen2"), [[0]] * LAYERS)
    with pytest.raises(ModelError, match=r"'phi3' cannot lose neurons: one matrix makes the neurons and their gates"):
        keep_neurons(tiny("phi3"), [[0]] * LAYERS)


def test_layers_that_compute_by_their_place_are_not_taken_out() -> None:
    config = GPT2Config(
        vocab_size=20, n_embd=8, n_layer=2, n_head=2, n_positions=8, scale_attn_by_inverse_layer_idx=True
    )
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(ModelError, match=r"'gpt2': its config has scale_attn_by_inverse_layer_idx"):
        set_layers(model, [model_layers(model)[1]])


@pytest.mark.parametrize("kind", KINDS)
def test_what_zeroes_weights_leaves_the_table_of_tokens(kind: str) -> None:
    model = tiny(kind)
    assert set(linear_names(model)) - set(inner_linears(model)) == {"lm_head"}
    assert len(inner_linears(model)) == LAYERS * {"gpt2": 4, "phi": 6, "phi3": 4}.get(kind, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_every_linear_layer_and_table_is_rounded_and_comes_back_whole(kind: str) -> None:
    model = tiny(kind)
    use, exact, classes = use_of(model), logits(model), {name: type(part) for name, part in model.named_modules()}
    assert set(use.linears) == set(linear_names(model))
    assert set(use.tables) == set(embeddings(model))
    assert use.first_token == ()
    plan = plan_for(model, "dynamic", tables=True)
    rounded = logits(attach(model, plan))
    assert 1e-4 < (rounded - exact).abs().max() < 0.2 * exact.abs().max()
    assert {name: type(part) for name, part in detach(model).named_modules()} == classes
    assert torch.equal(logits(model), exact)


def test_a_table_that_multiplies_what_it_finds_multiplies_rounded_rows() -> None:
    model = tiny("gemma")
    ids = torch.tensor([[3, 7]])
    attach(model, plan_for(model, "dynamic", tables=True))
    integers, scale = weight_grid(weight_of(model, "model.embed_tokens"))
    rows = (integers * scale[:, None])[ids] * 32**0.5
    assert torch.allclose(model.get_input_embeddings()(ids), rows, rtol=1e-5)
