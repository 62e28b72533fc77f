"""Heads, neurons and layers removed for real."""

import copy

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from hone.configs.model import PruneSettings
from hone.configs.recipe import parse_recipe
from hone.tasks.errors import ModelError
from hone.tasks.model.architectures.layers import layer_modules, model_layers
from hone.tasks.model.checkpoints.checkpoint import count_parameters, load_model, load_tokenizer, save_model
from hone.tasks.prune.importance import Importance
from hone.tasks.prune.structured import (
    best,
    heads_kept,
    keep_heads,
    keep_layers,
    keep_neurons,
    neurons_kept,
    remove_structures,
)
from hone.tasks.prune.task import pruning
from tests.prune.encoders import CONFIGS, logits, tiny
from tests.tiny import write_encoder

KINDS = sorted(CONFIGS)
HEADS = [[0, 2], [3], [0, 1, 2, 3]]
NEURONS = [list(range(0, 48, 2)), list(range(16)), list(range(48))]


def unscored(model, kept):
    """All parts alike."""
    parts = layer_modules(model)
    return Importance(
        [torch.ones(part.heads) for part in parts],
        [torch.ones(part.neurons) for part in parts],
        torch.ones(len(parts)),
    )


def no_loss(kept):
    raise AssertionError("an encoder's layers go by their gradient")


@pytest.mark.parametrize("kind", KINDS)
def test_removing_a_head_equals_zeroing_its_output(kind):
    model = tiny(kind)
    zeroed = copy.deepcopy(model)
    with torch.no_grad():
        for part, heads in zip(layer_modules(zeroed), HEADS, strict=True):
            for head in set(range(4)) - set(heads):
                part.attention_output.weight[:, head * 8 : head * 8 + 8] = 0
    keep_heads(model, HEADS)
    assert not torch.allclose(logits(model), logits(tiny(kind)), atol=1e-3)
    assert torch.allclose(logits(model), logits(zeroed), atol=1e-5)
    assert [part.heads for part in layer_modules(model)] == [2, 1, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_removing_neurons_equals_zeroing_their_output(kind):
    model = tiny(kind)
    zeroed = copy.deepcopy(model)
    with torch.no_grad():
        for part, neurons in zip(layer_modules(zeroed), NEURONS, strict=True):
            part.feed_out.weight[:, sorted(set(range(48)) - set(neurons))] = 0
    keep_neurons(model, NEURONS)
    assert not torch.allclose(logits(model), logits(tiny(kind)), atol=1e-3)
    assert torch.allclose(logits(model), logits(zeroed), atol=1e-5)
    assert [part.neurons for part in layer_modules(model)] == [24, 16, 48]


@pytest.mark.parametrize("kind", KINDS)
def test_removing_a_layer_equals_passing_it_by(kind):
    model = tiny(kind)
    passed_by = copy.deepcopy(model)
    model_layers(passed_by)[1].register_forward_hook(
        lambda module, inputs, output: (inputs[0], *output[1:]) if isinstance(output, tuple) else inputs[0]
    )
    keep_layers(model, [0, 2])
    assert not torch.allclose(logits(model), logits(tiny(kind)), atol=1e-3)
    assert torch.allclose(logits(model), logits(passed_by), atol=1e-5)
    assert model.config.num_hidden_layers == 2


@pytest.mark.parametrize("kind", KINDS)
def test_removing_nothing_is_the_identity(kind):
    model = tiny(kind)
    none = PruneSettings(head_fraction=0, neuron_fraction=0, layer_fraction=0)
    assert remove_structures(model, none, unscored, no_loss) == [0, 1, 2]
    keep_heads(model, [[0, 1, 2, 3]] * 3)
    keep_neurons(model, [list(range(48))] * 3)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in tiny(kind).state_dict().items())
    assert torch.allclose(logits(model), logits(tiny(kind)), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pruned_checkpoint_round_trips_bit_for_bit(kind, tmp_path):
    model = tiny(kind)
    keep_layers(model, [0, 2])
    keep_heads(model, HEADS[:2])
    keep_neurons(model, NEURONS[:2])
    save_model(model, load_tokenizer(write_encoder(tmp_path / "encoder")), tmp_path / "pruned")
    loaded = load_model(tmp_path / "pruned")
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())
    assert torch.allclose(logits(loaded), logits(model), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_with_all_heads_and_layers_alike_loads_with_plain_transformers(kind, tmp_path):
    model = tiny(kind)
    keep_layers(model, [1, 2])
    keep_neurons(model, [list(range(16)), list(range(16, 32))])
    save_model(model, load_tokenizer(write_encoder(tmp_path / "encoder")), tmp_path / "pruned")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "pruned").eval()
    assert torch.allclose(logits(plain), logits(model), atol=1e-5)


def test_removed_parameters_by_formula():
    model = tiny("bert")
    before = count_parameters(model)[0]
    keep_heads(model, [[0], [1], [2]])
    keep_neurons(model, [[0], [1], [2]])
    width, removed_heads, removed_neurons = 32, 3, 47
    per_head = 3 * (8 * width + 8) + 8 * width  # rows of query, key, value and their biases; columns of the output
    per_neuron = width + 1 + width  # a row and its bias; a column
    assert before - count_parameters(model)[0] == 3 * (removed_heads * per_head + removed_neurons * per_neuron)


def test_what_matters_least_is_removed():
    model = tiny("bert")
    weights = [part.query.weight.detach().clone() for part in layer_modules(model)]

    def measure(_model, kept):
        scores = {0: [4.0, 1.0, 2.0, 3.0], 1: [0.0] * 4, 2: [1.0, 5.0, 1.0, 6.0]}
        return Importance(
            [torch.tensor(scores[place]) for place in kept],
            [torch.arange(48.0) for _ in kept],
            torch.tensor([2.0, 1.0, 3.0])[kept],
        )

    kept = remove_structures(
        model, PruneSettings(layer_fraction=0.34, head_fraction=0.5, neuron_fraction=0.5), measure, no_loss
    )
    assert kept == [0, 2]
    first, last = layer_modules(model)
    assert torch.equal(first.query.weight, torch.cat([weights[0][:8], weights[0][24:]]))
    assert torch.equal(last.query.weight, torch.cat([weights[2][8:16], weights[2][24:]]))
    assert first.neurons == last.neurons == 32  # the multiple of 16 nearest to 24; Python rounds a half to even
    assert torch.equal(first.feed_in.weight, layer_modules(tiny("bert"))[0].feed_in.weight[16:])


def test_layers_are_weighed_before_heads_and_what_is_left_is_weighed_again():
    asked = []

    def measure(model, kept):
        asked.append(list(kept))
        return unscored(model, kept)

    remove_structures(tiny("bert"), PruneSettings(layer_fraction=0.5), measure, no_loss)
    assert asked == [[0, 1, 2], [0, 1]]


@pytest.mark.parametrize(("fraction", "kept"), [(0, 12), (0.5, 6), (0.3, 8), (0.99, 1)])
def test_at_least_one_head_stays(fraction, kept):
    assert heads_kept(12, PruneSettings(head_fraction=fraction)) == kept


@pytest.mark.parametrize(
    ("neurons", "fraction", "multiple", "kept"),
    [
        (1536, 0.5, 16, 768),
        (1536, 0.66, 64, 512),
        (48, 0.99, 16, 16),
        (10, 0.5, 16, 10),
        (50, 0, 16, 50),
        (50, 0.1, 16, 48),
    ],
)
def test_neurons_stay_in_multiples_and_never_more_than_there_are(neurons, fraction, multiple, kept):
    assert neurons_kept(neurons, PruneSettings(neuron_fraction=fraction, neuron_multiple=multiple)) == kept


def test_best_is_in_the_order_of_the_model_and_of_equals_the_earlier():
    assert best(torch.tensor([1.0, 3.0, 3.0, 2.0]), 2) == [1, 2]
    assert best(torch.tensor([1.0, 1.0, 1.0]), 2) == [0, 1]


def test_an_unknown_architecture_is_named_with_those_that_are_known():
    from transformers import BloomConfig

    model = AutoModelForSequenceClassification.from_config(
        BloomConfig(vocab_size=20, hidden_size=8, n_layer=1, n_head=2)
    )
    with pytest.raises(ModelError, match=r"model type 'bloom'.* bert, camembert, deberta-v2"):
        keep_heads(model, [[0]])


def test_the_neurons_that_stay_are_whole_blocks_where_weights_are_to_be_in_blocks() -> None:
    writes = {"task": "text-generation", "data": {"train": "texts.txt", "document_column": "text"}}
    for settings, multiple in (({}, 16), (writes, 32), (writes | {"quantize": {"method": "none"}}, 16)):
        tree = {"name": "t", "data": {"train": "a.csv"}, "model": {"source": "some/encoder"}, **settings}
        assert pruning(parse_recipe(tree)).neuron_multiple == multiple
