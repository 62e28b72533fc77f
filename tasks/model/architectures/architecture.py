"""What there is to know of a model type: where its parts lie, and what cannot be done with them."""

from dataclasses import dataclass, field
from typing import Literal

Ability = Literal["layers", "heads", "neurons", "relations", "vocabulary"]
"""What a stage may ask of a model's layers: to leave some out, to lose heads, to lose feed-forward neurons, to show
queries, keys and values; and of its tables, to lose tokens."""


@dataclass(frozen=True)
class Architecture:
    """Where a model type keeps its parts, and what cannot be done with them."""

    layers: str = ""
    """Module below the base model that lists the layers; the others are modules of a layer."""
    query: str = ""
    """Empty, as key and value, where one matrix makes all three."""
    key: str = ""
    value: str = ""
    attention_output: str = ""
    feed_in: str = ""
    """Empty where one matrix makes the neurons and their gates."""
    gate: str = ""
    """What each neuron is multiplied with, where the feed-forward part is gated; it has a row for each, as feed_in."""
    feed_out: str = ""
    cannot: dict[Ability, str] = field(default_factory=dict)
    """Why not, by what."""
    neurons_field: str = "intermediate_size"
    """The field of the config that says how many neurons each layer has."""
    causal: bool = False
    """Whether a token sees those before it and no other, as a decoder's does. Its shapes have to be such as the config
    says, alike in all layers: other runtimes load it by that alone."""
    cached: bool = False
    """Whether onnxruntime-genai's model builder makes its graph, which has a cache of keys and values."""
    adds_mask: bool = False
    """Whether the model adds a mask [batch, 1, 1, length] to its attention scores as it is given."""
    narrows: tuple[str, ...] = ()
    """Parts of the last layer that the exported graph can compute for the first token alone."""
