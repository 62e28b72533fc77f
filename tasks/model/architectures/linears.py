"""Linear layers and tables of a model, whatever it is, by dotted name; and rows and columns of them removed.

GPT-2 keeps its weights transposed, in a `Conv1D` that computes what a Linear does: everything here shows the weight of
both as [out, in].
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

Linear = nn.Linear | Conv1D


def linear_names(model: nn.Module) -> list[str]:
    """Dotted names of all linear layers, of the body and of the head, in the order of the model."""
    return [name for name, module in model.named_modules() if isinstance(module, Linear)]


def inner_linears(model: nn.Module) -> list[str]:
    """The same without the one that gives each token of the vocabulary its number: it is a table of tokens, and often
    the very table that is looked up, so that what sets weights to zero leaves it."""
    table = model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None
    return [name for name in linear_names(model) if model.get_submodule(name) is not table]


def embeddings(model: nn.Module) -> dict[str, nn.Embedding]:
    """All embedding tables by dotted name: words, positions, token types."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Embedding)}


def weight_of(model: nn.Module, name: str) -> Tensor:
    """The weight of a linear layer [out, in] or of an embedding table [rows, width]: what is written into it, without
    gradients, is written into the model."""
    return matrix(model.get_submodule(name))


def matrix(module: nn.Module) -> Tensor:
    """The same of a module."""
    weight = module.get_parameter("weight")
    return weight.T if isinstance(module, Conv1D) else weight


def gradient_of(model: nn.Module, name: str) -> Tensor | None:
    """The gradient of a linear layer's weight [out, in]; None where there is none."""
    module = model.get_submodule(name)
    gradient = module.get_parameter("weight").grad
    return gradient.T if gradient is not None and isinstance(module, Conv1D) else gradient


def tied_tables(model: nn.Module) -> dict[str, str]:
    """Linear layers whose weight is an embedding table's, and the table, by dotted names."""
    tables = {id(table.weight): name for name, table in embeddings(model).items()}
    weights = {name: model.get_submodule(name).get_parameter("weight") for name in linear_names(model)}
    return {name: tables[id(weight)] for name, weight in weights.items() if id(weight) in tables}


def keep_outputs(linear: Linear, kept: Tensor) -> None:
    """Leaves only the outputs `kept` [int64 indices], in place: rows of the weight, and of the bias."""
    _set_matrix(linear, matrix(linear).detach()[kept])
    if linear.bias is not None:
        linear.bias = nn.Parameter(linear.bias.detach()[kept].clone(), linear.bias.requires_grad)


def keep_inputs(linear: Linear, kept: Tensor) -> None:
    """Leaves only the inputs `kept` [int64 indices], in place: columns of the weight."""
    _set_matrix(linear, matrix(linear).detach()[:, kept])


def _set_matrix(linear: Linear, values: Tensor) -> None:
    trained = linear.weight.requires_grad
    if isinstance(linear, Conv1D):
        linear.nf, linear.nx = values.shape
        values = values.T
    else:
        linear.out_features, linear.in_features = values.shape
    linear.weight = nn.Parameter(values.clone(memory_format=torch.contiguous_format), trained)
