"""Where an encoder keeps its layers, projections and embeddings. Stages that change a model's shape ask here.

Resizing a Linear in place is all it takes to remove heads or neurons: these encoders split into heads by the head size,
and take however many there are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hone.tasks.errors import ModelError


@dataclass(frozen=True)
class LayerModules:
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


Ability = Literal["layers", "heads", "neurons", "relations"]
"""What a stage may ask of an encoder's layers: to leave some out, to lose heads, to lose feed-forward neurons, and to
show queries, keys and values."""


@dataclass(frozen=True)
class Architecture:
    """Where a model type keeps its parts, and what cannot be done with them."""

    layers: str = ""
    """Module below the base model that lists the layers; the others are modules of a layer."""
    query: str = ""
    key: str = ""
    value: str = ""
    attention_output: str = ""
    feed_in: str = ""
    feed_out: str = ""
    cannot: dict[Ability, str] = field(default_factory=dict)
    """Why not, by what."""
    adds_mask: bool = False
    """Whether the encoder adds a mask [batch, 1, 1, length] to its attention scores as it is given."""
    narrows: tuple[str, ...] = ()
    """Parts of the last layer that the exported graph can compute for the first token alone."""


_ALL = ("query", "attention_output", "feed_in", "feed_out")
_BERT = Architecture(
    layers="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_output="attention.output.dense",
    feed_in="intermediate.dense",
    feed_out="output.dense",
    adds_mask=True,
    narrows=_ALL,
)
_SHARED = "all its layers are one layer, used over and over"
_FUSED = "one matrix makes queries, keys and values, and another the neurons and their gates"
ARCHITECTURES = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    "electra": _BERT,
    "distilbert": Architecture(
        layers="transformer.layer",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attention_output="attention.out_lin",
        feed_in="ffn.lin1",
        feed_out="ffn.lin2",
        adds_mask=True,
        narrows=_ALL,
    ),
    "mpnet": replace(
        _BERT,
        query="attention.attn.q",
        key="attention.attn.k",
        value="attention.attn.v",
        attention_output="attention.attn.o",
        adds_mask=False,
        cannot={"heads": "all layers share one table of position biases, a column a head"},
    ),
    "deberta-v2": replace(
        _BERT,
        query="attention.self.query_proj",
        key="attention.self.key_proj",
        value="attention.self.value_proj",
        adds_mask=False,
        narrows=("attention_output", "feed_in", "feed_out"),
        cannot={"heads": "its attention splits into as many heads as the configuration says"},
    ),
    "albert": Architecture(
        adds_mask=True,
        cannot={"layers": _SHARED, "heads": _SHARED, "neurons": _SHARED, "relations": _SHARED},
    ),
    "modernbert": Architecture(
        cannot={
            "layers": "its first layer, and every third, is not built like the others",
            "heads": _FUSED,
            "neurons": _FUSED,
            "relations": _FUSED,
        },
    ),
}
"""By model type, what is tried by the tests. The table in tasks/README.md is made of it."""
_NOT_KNOWN = "where its layers lie is not known"
_OTHER = Architecture(cannot=dict.fromkeys(get_args(Ability), _NOT_KNOWN))
SUPPORTED = tuple(sorted(kind for kind, known in ARCHITECTURES.items() if known.layers))
"""Model types whose layers Hone can take out and resize."""


def architecture(kind: str) -> Architecture:
    """What is known of a model type; of one that is not known, that nothing can be done with its parts."""
    return ARCHITECTURES.get(kind, _OTHER)


def encoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The encoder's layers, the first one nearest the embeddings.

    Raises:
        ModelError: for a model type whose layers are not known.
    """
    path = _known(model).layers
    layers = model.base_model.get_submodule(path)
    if not isinstance(layers, nn.ModuleList):
        raise ModelError(f"{model.config.model_type}: {path} is a {type(layers).__name__}, no list")
    return layers


def set_encoder_layers(model: PreTrainedModel, layers: list[nn.Module]) -> None:
    """Makes these the model's layers, in this order, and says so in its config. The shapes recorded for pruned layers
    are corrected when the model is saved."""
    if not layers:
        raise ModelError("an encoder needs at least 1 layer, and 0 are left: remove fewer of them")
    parent, _, name = _known(model).layers.rpartition(".")
    setattr(model.base_model.get_submodule(parent), name, nn.ModuleList(layers))
    model.config.num_hidden_layers = len(layers)


def layer_modules(model: PreTrainedModel) -> list[LayerModules]:
    """The linear layers of every encoder layer, by what they do.

    Raises:
        ModelError: for a model type whose layers are not known.
    """
    places = _known(model)
    head_size = model.config.hidden_size // model.config.num_attention_heads
    names = ("query", "key", "value", "attention_output", "feed_in", "feed_out")
    return [
        LayerModules(head_size=head_size, **{name: _linear(layer, getattr(places, name)) for name in names})
        for layer in encoder_layers(model)
    ]


@dataclass(frozen=True)
class Use:
    """What an encoder makes of its parts when it answers, found out by having it answer once."""

    linears: tuple[str, ...]
    """Dotted names of the linear layers that compute something, in the order of the model."""
    tables: tuple[str, ...]
    """Dotted names of the embedding tables that are looked up. DeBERTa's relative positions are a table, and read
    whole."""
    first_token: tuple[str, ...]
    """Linear layers that matter for the first token alone, as the head reads no other, and which the exported graph can
    compute for it alone. None where the head takes the mean over the tokens."""


def use_of(model: PreTrainedModel) -> Use:
    """Has the model, of whatever architecture, answer eight tokens, and looks at who took part.

    That a layer matters for the first token alone is read off the gradient: it is exactly zero at the others.
    """
    known = architecture(model.config.model_type)
    last = layer_modules(model)[-1] if known.narrows else None
    parts = {id(getattr(last, name)) for name in known.narrows}
    ids = (torch.arange(2, 10, device=model.device) % model.config.vocab_size)[None]
    training = model.training
    model.eval()
    with _watched(model, parts) as (called, added), torch.enable_grad():
        answered = model(input_ids=ids, attention_mask=torch.ones_like(ids)).to_tuple()  # all that the head answers
        sizes = [part.float().square().sum() for part in answered if isinstance(part, Tensor)]
        torch.stack(sizes).sum().backward(inputs=list(added.values()) or [next(model.parameters())])
    model.train(training)
    first = {name for name, zeros in added.items() if zeros.grad is not None and _first_alone(zeros.grad)}
    return Use(
        linears=tuple(name for name in linear_names(model) if name in called),
        tables=tuple(name for name in embeddings(model) if name in called),
        first_token=tuple(name for name in linear_names(model) if name in first),
    )


@contextmanager
def _watched(model: PreTrainedModel, parts: set[int]) -> Iterator[tuple[set[str], dict[str, Tensor]]]:
    """Names of the layers and tables that are called, and, of those with these identities, zeros [1, tokens, out] that
    are added to what they give, so that their gradient is its gradient."""
    called: set[str] = set()
    added: dict[str, Tensor] = {}

    def hook(name: str, module: nn.Module) -> Any:
        def look(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
            called.add(name)
            if id(module) not in parts or name in added:
                return None
            added[name] = torch.zeros_like(output, requires_grad=True)
            return output + added[name]

        return look

    watched = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Embedding)}
    handles = [module.register_forward_hook(hook(name, module)) for name, module in watched.items()]
    try:
        yield called, added
    finally:
        for handle in handles:
            handle.remove()


def _first_alone(gradient: Tensor) -> bool:
    """Whether a gradient [1, tokens, width] is there for the first token, and for no other."""
    return bool(gradient[:, 0].any()) and not bool(gradient[:, 1:].any())


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
    if model.config.model_type not in SUPPORTED:
        return None
    parts = layer_modules(model)
    heads, neurons = [part.heads for part in parts], [part.neurons for part in parts]
    full = (model.config.num_attention_heads, _config_neurons(model))
    if all(shape == full for shape in zip(heads, neurons, strict=True)):
        return None
    return {"heads": heads, "head_size": parts[0].head_size, "neurons": neurons}


def apply_shape(model: PreTrainedModel, record: dict[str, Any]) -> None:
    """Cuts a model of full shape down to the recorded one; which rows stay is for the weights loaded afterwards."""
    for part, heads, neurons in zip(layer_modules(model), record["heads"], record["neurons"], strict=True):
        width = torch.arange(heads * part.head_size)
        for linear in (part.query, part.key, part.value):
            keep_outputs(linear, width)
        keep_inputs(part.attention_output, width)
        keep_outputs(part.feed_in, torch.arange(neurons))
        keep_inputs(part.feed_out, torch.arange(neurons))


def _config_neurons(model: PreTrainedModel) -> int:
    config = model.config
    return int(config.hidden_dim if config.model_type == "distilbert" else config.intermediate_size)


def _known(model: PreTrainedModel) -> Architecture:
    known = architecture(model.config.model_type)
    if not known.layers:
        raise ModelError(
            f"model type '{model.config.model_type}': {known.cannot['layers']}, so its layers cannot be taken apart; "
            f"take one of {', '.join(SUPPORTED)}, or set distill.method and prune.method to none"
        )
    return known


def _linear(layer: nn.Module, name: str) -> nn.Linear:
    result = layer.get_submodule(name)
    if not isinstance(result, nn.Linear):
        raise ModelError(f"{name}: expected a linear layer, and it is a {type(result).__name__}")
    return result
