"""Where an encoder keeps its layers, projections and embeddings. Stages that change a model's shape ask here.

Resizing a Linear in place is all it takes to remove heads or neurons: these encoders split into heads by the head size,
and take however many there are.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tasks.errors import ModelError


@dataclass(frozen=True)
class LayerParts:
    """The linear layers of one encoder layer, as they are now."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    attention_output: nn.Linear
    feed_in: nn.Linear
    feed_out: nn.Linear
    head_size: int

    @property
    def heads(self) -> int:
        """Attention heads that are there: head h owns rows h * head_size ... of query, key and value, and the same
        columns of attention_output."""
        return self.query.out_features // self.head_size

    @property
    def neurons(self) -> int:
        """Feed-forward neurons that are there: rows of feed_in, columns of feed_out."""
        return self.feed_in.out_features


@dataclass(frozen=True)
class _Places:
    layers: str
    query: str
    key: str
    value: str
    attention_output: str
    feed_in: str
    feed_out: str


_BERT = _Places(
    layers="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_output="attention.output.dense",
    feed_in="intermediate.dense",
    feed_out="output.dense",
)
_DISTILBERT = _Places(
    layers="transformer.layer",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attention_output="attention.out_lin",
    feed_in="ffn.lin1",
    feed_out="ffn.lin2",
)
_PLACES = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "distilbert": _DISTILBERT,
}
SUPPORTED = tuple(sorted(_PLACES))
"""Model types whose layers Hone can take out and resize."""


def encoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The encoder's layers, the first one nearest the embeddings.

    Raises:
        ModelError: for a model type whose anatomy is not known.
    """
    layers = model.base_model.get_submodule(_places(model).layers)
    if not isinstance(layers, nn.ModuleList):
        raise ModelError(f"{model.config.model_type}: {_places(model).layers} is a {type(layers).__name__}, no list")
    return layers


def set_encoder_layers(model: PreTrainedModel, layers: list[nn.Module]) -> None:
    """Makes these the model's layers, in this order, and says so in its config. The shapes recorded for pruned layers
    are corrected when the model is saved."""
    if not layers:
        raise ModelError("an encoder needs at least 1 layer, and 0 are left: remove fewer of them")
    parent, _, name = _places(model).layers.rpartition(".")
    setattr(model.base_model.get_submodule(parent), name, nn.ModuleList(layers))
    model.config.num_hidden_layers = len(layers)


def layer_parts(model: PreTrainedModel) -> list[LayerParts]:
    """The linear layers of every encoder layer, by what they do.

    Raises:
        ModelError: for a model type whose anatomy is not known.
    """
    places = _places(model)
    head_size = model.config.hidden_size // model.config.num_attention_heads
    names = ("query", "key", "value", "attention_output", "feed_in", "feed_out")
    return [
        LayerParts(head_size=head_size, **{name: _linear(layer, getattr(places, name)) for name in names})
        for layer in encoder_layers(model)
    ]


def linear_names(model: nn.Module) -> list[str]:
    """Dotted names of all linear layers, of the encoder and of the head, in the order of the model."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def embeddings(model: nn.Module) -> dict[str, nn.Embedding]:
    """All embedding tables by dotted name: words, positions, token types."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Embedding)}


def keep_outputs(linear: nn.Linear, kept: Tensor) -> None:
    """Leaves only the outputs `kept` [int64 indices], in place: rows of the weight, and of the bias."""
    linear.weight = nn.Parameter(linear.weight.detach()[kept].clone(), linear.weight.requires_grad)
    if linear.bias is not None:
        linear.bias = nn.Parameter(linear.bias.detach()[kept].clone(), linear.bias.requires_grad)
    linear.out_features = len(kept)


def keep_inputs(linear: nn.Linear, kept: Tensor) -> None:
    """Leaves only the inputs `kept` [int64 indices], in place: columns of the weight."""
    linear.weight = nn.Parameter(linear.weight.detach()[:, kept].clone(), linear.weight.requires_grad)
    linear.in_features = len(kept)


def shape_record(model: PreTrainedModel) -> dict[str, Any] | None:
    """What `config.json` has to say under `hone` for the shapes to be rebuilt; None where the config alone says it."""
    if model.config.model_type not in _PLACES:
        return None
    parts = layer_parts(model)
    heads, neurons = [part.heads for part in parts], [part.neurons for part in parts]
    full = (model.config.num_attention_heads, _config_neurons(model))
    if all(shape == full for shape in zip(heads, neurons, strict=True)):
        return None
    return {"heads": heads, "head_size": parts[0].head_size, "neurons": neurons}


def apply_shape(model: PreTrainedModel, record: dict[str, Any]) -> None:
    """Cuts a model of full shape down to the recorded one; which rows stay is for the weights loaded afterwards."""
    for part, heads, neurons in zip(layer_parts(model), record["heads"], record["neurons"], strict=True):
        width = torch.arange(heads * part.head_size)
        for linear in (part.query, part.key, part.value):
            keep_outputs(linear, width)
        keep_inputs(part.attention_output, width)
        keep_outputs(part.feed_in, torch.arange(neurons))
        keep_inputs(part.feed_out, torch.arange(neurons))


def _config_neurons(model: PreTrainedModel) -> int:
    config = model.config
    return int(config.hidden_dim if config.model_type == "distilbert" else config.intermediate_size)


def _places(model: PreTrainedModel) -> _Places:
    kind = model.config.model_type
    if kind not in _PLACES:
        raise ModelError(
            f"model type '{kind}': where its layers lie is known only for {', '.join(SUPPORTED)}; "
            "take one of these, or give distill.student an encoder of its own and set prune.method: none"
        )
    return _PLACES[kind]


def _linear(layer: nn.Module, name: str) -> nn.Linear:
    found = layer.get_submodule(name)
    if not isinstance(found, nn.Linear):
        raise ModelError(f"{name}: expected a linear layer, and it is a {type(found).__name__}")
    return found
