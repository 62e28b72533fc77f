"""The layers of a model of any known type, encoder or decoder: stages that change a model's shape ask here."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import get_args

from torch import nn
from transformers import PreTrainedModel

from hone.tasks.errors import ModelError
from hone.tasks.model.architectures.architecture import Ability, Architecture
from hone.tasks.model.architectures.decoders import DECODERS
from hone.tasks.model.architectures.encoders import ENCODERS
from hone.tasks.model.architectures.linears import Linear, matrix

ARCHITECTURES = {**ENCODERS, **DECODERS}
"""By model type. The table in tasks/README.md is made of it."""
_NOT_KNOWN = "where its layers lie is not known"
_OTHER = Architecture(cannot=dict.fromkeys(get_args(Ability), _NOT_KNOWN))
SUPPORTED = tuple(sorted(kind for kind, known in ARCHITECTURES.items() if known.layers))
"""Model types whose layers Hone can take out and resize."""


@dataclass(frozen=True)
class LayerModules:
    """The linear layers of one layer, as they are now. Those that are None are parts of one matrix with others."""

    query: Linear | None
    key: Linear | None
    value: Linear | None
    attention_output: Linear
    feed_in: Linear | None
    gate: Linear | None
    """None too where neurons have no gates."""
    feed_out: Linear
    head_size: int

    @property
    def heads(self) -> int:
        """Attention heads that are there: head h owns rows h * head_size ... of query, and the same columns of
        attention_output."""
        return matrix(self.attention_output).shape[1] // self.head_size

    @property
    def groups(self) -> int:
        """What can be removed by itself: heads that share a key and a value, which follow one another. An encoder's
        heads share none, and are one group each. Group g owns rows g * head_size ... of key and value."""
        return self.heads if self.key is None else matrix(self.key).shape[0] // self.head_size

    @property
    def group_width(self) -> int:
        """Rows of query, and columns of attention_output, that a group owns."""
        return matrix(self.attention_output).shape[1] // self.groups

    @property
    def neurons(self) -> int:
        """Feed-forward neurons that are there: rows of feed_in and gate, columns of feed_out."""
        return matrix(self.feed_out).shape[1]

    @property
    def projections(self) -> tuple[Linear, Linear, Linear]:
        """Query, key and value.

        Raises:
            ModelError: where they are one matrix.
        """
        if self.query is None or self.key is None or self.value is None:
            raise ModelError("one matrix makes queries, keys and values, so they cannot be told apart")
        return self.query, self.key, self.value

    @property
    def neuron_makers(self) -> tuple[Linear, ...]:
        """Those that have a row for each neuron.

        Raises:
            ModelError: where one matrix makes neurons and gates.
        """
        if self.feed_in is None:
            raise ModelError("one matrix makes the neurons and their gates, so they cannot be told apart")
        return (self.feed_in,) if self.gate is None else (self.feed_in, self.gate)


def architecture(kind: str) -> Architecture:
    """What is known of a model type; of one that is not known, that nothing can be done with its parts."""
    return ARCHITECTURES.get(kind, _OTHER)


def known(model: PreTrainedModel) -> Architecture:
    """What is known of a model.

    Raises:
        ModelError: for a model type whose layers are not known.
    """
    found = architecture(model.config.model_type)
    if not found.layers:
        raise ModelError(
            f"model type '{model.config.model_type}': {found.cannot['layers']}, so its layers cannot be taken apart; "
            f"take one of {', '.join(SUPPORTED)}, or set distill.method and prune.method to none"
        )
    return found


def model_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The model's layers, the first one nearest the embeddings.

    Raises:
        ModelError: for a model type whose layers are not known.
    """
    path = known(model).layers
    layers = model.base_model.get_submodule(path)
    if not isinstance(layers, nn.ModuleList):
        raise ModelError(f"{model.config.model_type}: {path} is a {type(layers).__name__}, no list")
    return layers


def set_layers(model: PreTrainedModel, layers: list[nn.Module]) -> None:
    """Makes these the model's layers, in this order, and says so in its config. The shapes recorded for pruned layers
    are corrected when the model is saved.

    Raises:
        ModelError: when none is left, or when a layer computes otherwise in another place.
    """
    if not layers:
        raise ModelError("a model needs at least 1 layer, and 0 are left: remove fewer of them")
    config = model.config
    if getattr(config, "scale_attn_by_inverse_layer_idx", False) and len(layers) < len(model_layers(model)):
        raise ModelError(
            f"model type '{config.model_type}': its config has scale_attn_by_inverse_layer_idx, so a layer computes "
            "otherwise in another place: keep all layers (distill.method=none, prune.layer_fraction=0)"
        )
    if known(model).causal:
        _renumber(model, layers)
    parent, _, name = known(model).layers.rpartition(".")
    setattr(model.base_model.get_submodule(parent), name, nn.ModuleList(layers))
    config.num_hidden_layers = len(layers)


@contextmanager
def only_layers(model: PreTrainedModel, kept: list[int]) -> Iterator[None]:
    """The model with these of its layers alone, counted from 0, while the block lasts."""
    layers, types = list(model_layers(model)), getattr(model.config, "layer_types", None)
    try:
        set_layers(model, [layers[index] for index in kept])
        yield
    finally:
        for place, layer in enumerate(layers):
            for module in _numbered(layer):
                module.layer_idx = place  # type: ignore[assignment]
        if types is not None:
            model.config.layer_types = types
        set_layers(model, layers)


def layer_modules(model: PreTrainedModel) -> list[LayerModules]:
    """The linear layers of every layer, by what they do.

    Raises:
        ModelError: for a model type whose layers are not known.
    """
    places, config = known(model), model.config
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return [
        LayerModules(
            query=_part(layer, places.query),
            key=_part(layer, places.key),
            value=_part(layer, places.value),
            attention_output=_linear(layer, places.attention_output),
            feed_in=_part(layer, places.feed_in),
            gate=_part(layer, places.gate),
            feed_out=_linear(layer, places.feed_out),
            head_size=head_size,
        )
        for layer in model_layers(model)
    ]


def _renumber(model: PreTrainedModel, layers: list[nn.Module]) -> None:
    """Tells a decoder's layers their new places, by which they find their keys and values in a cache, and the config
    what kind each of them is, where there are several kinds."""
    types = getattr(model.config, "layer_types", None)
    if types is not None:
        model.config.layer_types = [types[next(_numbered(layer)).layer_idx] for layer in layers]
    for place, layer in enumerate(layers):
        for module in _numbered(layer):
            module.layer_idx = place  # type: ignore[assignment]


def _numbered(layer: nn.Module) -> Iterator[nn.Module]:
    return (module for module in layer.modules() if hasattr(module, "layer_idx"))


def _part(layer: nn.Module, name: str) -> Linear | None:
    return _linear(layer, name) if name else None


def _linear(layer: nn.Module, name: str) -> Linear:
    result = layer.get_submodule(name)
    if not isinstance(result, Linear):
        raise ModelError(f"{name}: expected a linear layer, and it is a {type(result).__name__}")
    return result
