"""What of a model takes part when it answers: found out by having it answer once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hone.tasks.model.architectures.layers import architecture, layer_modules
from hone.tasks.model.architectures.linears import Linear, embeddings, linear_names


@dataclass(frozen=True)
class Use:
    """What a model makes of its parts when it answers."""

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

    watched = {name: module for name, module in model.named_modules() if isinstance(module, Linear | nn.Embedding)}
    handles = [module.register_forward_hook(hook(name, module)) for name, module in watched.items()]
    try:
        yield called, added
    finally:
        for handle in handles:
            handle.remove()


def _first_alone(gradient: Tensor) -> bool:
    """Whether a gradient [1, tokens, width] is there for the first token, and for no other."""
    return bool(gradient[:, 0].any()) and not bool(gradient[:, 1:].any())
