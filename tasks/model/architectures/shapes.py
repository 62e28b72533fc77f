"""Heads and neurons removed from a model, and how a checkpoint says what is left.

A decoder's config says it all, so that any runtime loads it; an encoder's cannot say how many heads of which size there
are, nor that layers differ, and what it cannot say stands in `config.json` under `hone`.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hone.tasks.errors import ModelError
from hone.tasks.model.architectures.architecture import Ability
from hone.tasks.model.architectures.layers import SUPPORTED, known, layer_modules
from hone.tasks.model.architectures.linears import keep_inputs, keep_outputs


def keep_heads(model: PreTrainedModel, kept: list[list[int]]) -> None:
    """Leaves only these heads of each layer, in place; where heads share keys and values, these groups of them. The
    model computes what it did with the others' output zero.

    Raises:
        ModelError: when the model is a decoder whose config cannot say the shape that is left.
    """
    _check(model, kept, "heads")
    for part, groups in zip(layer_modules(model), kept, strict=True):
        query, key, value = part.projections
        rows = _owned(groups, part.group_width)
        for linear, size in ((key, part.head_size), (value, part.head_size), (query, part.group_width)):
            keep_outputs(linear, _owned(groups, size))
        keep_inputs(part.attention_output, rows)
    _tell_config(model)


def keep_neurons(model: PreTrainedModel, kept: list[list[int]]) -> None:
    """Leaves only these neurons of each layer, in place. The model computes what it did with the others' output zero.

    Where all layers end up alike, with all their heads, the config says so and plain transformers loads the model.

    Raises:
        ModelError: when the model is a decoder whose config cannot say the shape that is left.
    """
    _check(model, kept, "neurons")
    for part, neurons in zip(layer_modules(model), kept, strict=True):
        for linear in part.neuron_makers:
            keep_outputs(linear, torch.tensor(neurons))
        keep_inputs(part.feed_out, torch.tensor(neurons))
    _tell_config(model)


def shape_record(model: PreTrainedModel) -> dict[str, Any] | None:
    """What `config.json` has to say under `hone` for the shapes to be rebuilt; None where the config alone says it."""
    if model.config.model_type not in SUPPORTED or known(model).causal:
        return None
    parts = layer_modules(model)
    heads, neurons = [part.heads for part in parts], [part.neurons for part in parts]
    full = (model.config.num_attention_heads, getattr(model.config, known(model).neurons_field))
    if all(shape == full for shape in zip(heads, neurons, strict=True)):
        return None
    return {"heads": heads, "head_size": parts[0].head_size, "neurons": neurons}


def apply_shape(model: PreTrainedModel, record: dict[str, Any]) -> None:
    """Cuts a model of full shape down to the recorded one; which rows stay is for the weights loaded afterwards."""
    for part, heads, neurons in zip(layer_modules(model), record["heads"], record["neurons"], strict=True):
        width = torch.arange(heads * part.head_size)
        for linear in part.projections:
            keep_outputs(linear, width)
        keep_inputs(part.attention_output, width)
        for linear in part.neuron_makers:
            keep_outputs(linear, torch.arange(neurons))
        keep_inputs(part.feed_out, torch.arange(neurons))


def _check(model: PreTrainedModel, kept: list[list[int]], what: Ability) -> None:
    counts = [len(places) for places in kept]
    places = known(model)
    if not places.causal:
        return
    if what in places.cannot:
        raise ModelError(f"model type '{model.config.model_type}' cannot lose {what}: {places.cannot[what]}")
    if len(set(counts)) > 1:
        raise ModelError(
            f"model type '{model.config.model_type}': its layers are to keep {counts} {what}, and its config.json says "
            "one number for all of them, by which other runtimes load it: keep as many in each layer"
        )


def _tell_config(model: PreTrainedModel) -> None:
    """Says in the config what it can say of the shapes. An encoder's is told the neurons where all layers have as many,
    and all their heads."""
    config, parts, places = model.config, layer_modules(model), known(model)
    if places.causal:
        if "heads" not in places.cannot:
            config.head_dim = parts[0].head_size  # else it would follow from width and heads
            config.num_attention_heads, config.num_key_value_heads = parts[0].heads, parts[0].groups
    elif {part.heads for part in parts} != {config.num_attention_heads}:
        return
    if len({part.neurons for part in parts}) == 1:
        setattr(config, places.neurons_field, parts[0].neurons)


def _owned(places: list[int], size: int) -> Tensor:
    """Rows that these heads or groups own, of `size` rows each."""
    return (torch.tensor(places)[:, None] * size + torch.arange(size)).flatten()
