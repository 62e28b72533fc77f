"""Encoders of every known kind: where their parts are, and that taking rows out of them takes out heads and neurons."""

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from hone.tasks.errors import ModelError
from hone.tasks.model.architectures.encoders import ENCODERS
from hone.tasks.model.architectures.layers import layer_modules, model_layers, set_layers
from hone.tasks.model.architectures.linears import embeddings, keep_inputs, keep_outputs, linear_names
from hone.tasks.model.architectures.shapes import apply_shape, shape_record

SHAPE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 50}
SUPPORTED = sorted(kind for kind, known in ENCODERS.items() if known.layers)
KINDS = {kind: {**SHAPE, "intermediate_size": 48} for kind in SUPPORTED if kind != "distilbert"}
KINDS["electra"]["embedding_size"] = 16
KINDS["deberta-v2"] |= {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8}
CAN_LOSE_HEADS = [kind for kind in SUPPORTED if "heads" not in ENCODERS[kind].cannot]
KINDS["distilbert"] = {"dim": 32, "n_layers": 3, "n_heads": 4, "vocab_size": 50, "hidden_dim": 48}
IDS = torch.tensor([[2, 7, 9, 11, 3], [2, 8, 6, 3, 1]])


def build(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, pad_token_id=1, num_labels=3, **KINDS[kind])
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)  # large enough for every part to count
    return model


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS, attention_mask=(IDS != 1).long()).logits


@pytest.mark.parametrize("kind", SUPPORTED)
def test_every_kind_shows_its_parts(kind: str) -> None:
    model = build(kind)
    assert len(model_layers(model)) == 3
    for part in layer_modules(model):
        assert (part.heads, part.head_size, part.neurons) == (4, 8, 48)
        for linear in (part.query, part.key, part.value, part.attention_output):
            assert linear.weight.shape == (32, 32)
        assert part.feed_in.weight.shape == (48, 32)
        assert part.feed_out.weight.shape == (32, 48)
    assert any(table.num_embeddings == 50 for table in embeddings(model).values())


@pytest.mark.parametrize("kind", CAN_LOSE_HEADS)
def test_removing_a_head_equals_zeroing_its_output(kind: str) -> None:
    zeroed, removed = build(kind), build(kind)
    with torch.no_grad():
        layer_modules(zeroed)[1].attention_output.weight[:, 8:16] = 0
    part = layer_modules(removed)[1]
    kept = torch.tensor([*range(8), *range(16, 32)])
    for linear in (part.query, part.key, part.value):
        keep_outputs(linear, kept)
    keep_inputs(part.attention_output, kept)
    assert layer_modules(removed)[1].heads == 3
    assert (logits(zeroed) - logits(build(kind))).abs().max() > 1e-3
    assert torch.allclose(logits(zeroed), logits(removed), atol=1e-6)  # measured: 0


@pytest.mark.parametrize("kind", SUPPORTED)
def test_removing_neurons_equals_zeroing_their_output(kind: str) -> None:
    zeroed, removed = build(kind), build(kind)
    with torch.no_grad():
        layer_modules(zeroed)[0].feed_out.weight[:, 16:] = 0
    part = layer_modules(removed)[0]
    keep_outputs(part.feed_in, torch.arange(16))
    keep_inputs(part.feed_out, torch.arange(16))
    assert layer_modules(removed)[0].neurons == 16
    assert (logits(zeroed) - logits(build(kind))).abs().max() > 1e-3
    assert torch.allclose(logits(zeroed), logits(removed), atol=1e-6)  # measured: 0


@pytest.mark.parametrize("kind", SUPPORTED)
def test_fewer_layers_are_run_and_counted(kind: str) -> None:
    model = build(kind)
    runs: list[int] = []
    for layer in model_layers(model):
        layer.register_forward_hook(lambda *_: runs.append(1))
    layers = model_layers(model)
    set_layers(model, [layers[0], layers[2]])
    logits(model)
    assert len(runs) == model.config.num_hidden_layers == len(layer_modules(model)) == 2


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(ModelError, match=r"needs at least 1 layer, and 0 are left: remove fewer"):
        set_layers(build("bert"), [])


@pytest.mark.parametrize("kind", SUPPORTED)
def test_a_shape_is_recorded_only_where_the_config_cannot_say_it(kind: str) -> None:
    model = build(kind)
    assert shape_record(model) is None
    keep_outputs(layer_modules(model)[2].feed_in, torch.arange(40))
    keep_inputs(layer_modules(model)[2].feed_out, torch.arange(40))
    record = shape_record(model)
    assert record == {"heads": [4, 4, 4], "head_size": 8, "neurons": [48, 48, 40]}
    fresh = build(kind)
    apply_shape(fresh, record)
    assert [p.shape for p in fresh.parameters()] == [p.shape for p in model.parameters()]


def test_resizing_keeps_frozen_weights_frozen() -> None:
    linear = nn.Linear(4, 4).requires_grad_(False)
    keep_outputs(linear, torch.tensor([0, 2]))
    keep_inputs(linear, torch.tensor([1]))
    assert not linear.weight.requires_grad
    assert linear.bias is not None
    assert not linear.bias.requires_grad
    assert (linear.in_features, linear.out_features) == (1, 2)


def test_linear_names_lead_to_linear_layers_of_encoder_and_head() -> None:
    model = build("bert")
    names = linear_names(model)
    assert all(isinstance(model.get_submodule(name), nn.Linear) for name in names)
    assert len(names) == 3 * 6 + 2
    assert "classifier" in names


def test_an_unknown_anatomy_is_an_error_that_names_the_known_ones() -> None:
    config = AutoConfig.for_model("albert", vocab_size=50, hidden_size=16, num_attention_heads=2, intermediate_size=16)
    model = AutoModelForSequenceClassification.from_config(config)
    with pytest.raises(
        ModelError,
        match=r"'albert': all its layers are one layer.* take one of bert, camembert, .* distill\.method and prune",
    ):
        layer_modules(model)
    assert shape_record(model) is None
