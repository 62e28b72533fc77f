"""Integers in PyTorch: rounds what the exported integer graph will round, so that no accuracy is lost in between.

Schemes dynamic and static, 8 bits:
- Weights, and each row of an embedding table: signed, symmetric, q = round(w / s) with s = max|w| / 127 per output
  channel (per row of a table). It is the grid of onnxruntime's `quantize_dynamic(per_channel=True, weight_type=QInt8)`.
- Activations, dynamic: unsigned, asymmetric, one scale for the whole tensor, as ONNX's DynamicQuantizeLinear sets it.
  The tensor includes the padding, so what a row gives depends a little on its batch.
- Activations, static: signed, symmetric, q = clamp(round(x / s), -128, 127) with a scale fixed beforehand.

Scheme blockwise: weights, tables and activations in blocks of inputs (see `block_grid`), 4 or 8 bits.

Gradients pass straight through the rounding, and stop where a static scale clips.
Source: Jacob et al. 2018, arXiv:1712.05877; Bengio et al. 2013, arXiv:1308.3432 (straight-through estimator).
"""

import json
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from hone.tasks.errors import TrainingError
from hone.tasks.model.architectures.linears import matrix, weight_of
from hone.tasks.model.architectures.use import use_of
from hone.tasks.model.training.block_grid import BlockGrid, block_grid, rounded_blocks

FILE = "quantization.json"
Scheme = Literal["dynamic", "static", "blockwise"]
TABLE_BITS = 8
"""Of a table, and so of a layer that multiplies by it."""


@dataclass(frozen=True)
class QuantizationConfig:
    """What of a model is quantised, and how. It lies beside the weights as `quantization.json`."""

    scheme: Scheme
    linears: tuple[str, ...]
    """Dotted names of the linear layers that compute in integers."""
    tables: tuple[str, ...]
    """Dotted names of the embedding tables that are stored in 8 bits."""
    first_token: tuple[str, ...] = ()
    """Linear layers of which the exported graph computes the first token alone; its range alone sets their scale."""
    kept: tuple[str, ...] = ()
    """Layers left in fp32 because quantising them costs too much."""
    scales: dict[str, float] = field(default_factory=dict)
    """Scale of the input of each linear layer (scheme static)."""
    bits: int = 8
    """Of the linear layers' weights; 4 only in blocks."""
    block: int = 0
    """Inputs that share a scale (scheme blockwise)."""
    wide: tuple[str, ...] = ()
    """Linear layers that have 8 bits where the others have 4."""

    def only(self, name: str) -> "QuantizationConfig":
        """The same with one layer quantised and no other."""
        return replace(
            self,
            linears=tuple(linear for linear in self.linears if linear == name),
            tables=tuple(table for table in self.tables if table == name),
        )

    def excluding(self, names: list[str]) -> "QuantizationConfig":
        """The same with these layers in fp32."""
        return replace(
            self,
            linears=tuple(linear for linear in self.linears if linear not in names),
            tables=tuple(table for table in self.tables if table not in names),
            kept=tuple(names),
        )

    def bits_of(self, name: str) -> int:
        """Of a linear layer's weight, or of a table."""
        return TABLE_BITS if name in self.tables or name in self.wide else self.bits

    def grid_of(self, name: str, weight: Tensor, *, search: bool = False) -> BlockGrid:
        """Of a weight [rows, columns] (scheme blockwise).

        Args:
            search: see `block_grid`.
        """
        return block_grid(weight, self.bits_of(name), self.block, search=search)

    def rounded(self, name: str, weight: Tensor, *, search: bool = False) -> Tensor:
        """The weight of a layer or table as the integers mean it, fp32 [rows, columns]."""
        if self.scheme == "blockwise":
            return self.grid_of(name, weight, search=search).values()
        integers, scale = weight_grid(weight)
        return integers * scale[:, None]

    def with_scales(self, scales: dict[str, float]) -> "QuantizationConfig":
        """The same with these static scales."""
        return replace(self, scales=scales)

    def write(self, folder: Path) -> None:
        """Writes it beside the weights."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def plan_for(
    model: PreTrainedModel, scheme: Scheme, tables: bool, *, bits: int = 8, block: int = 0
) -> QuantizationConfig:
    """Every linear layer that computes something, and every embedding table that is looked up where `tables`; static
    scales are still to be set. The layer that gives each token of the vocabulary its number has the bits of a table,
    as it often is the very table that is looked up.

    Args:
        bits, block: of weights in blocks (scheme blockwise).

    Raises:
        TrainingError: when the inputs of a layer are no whole number of blocks.
    """
    use = use_of(model)
    plan = QuantizationConfig(
        scheme=scheme, linears=use.linears, tables=use.tables if tables else (), first_token=use.first_token
    )
    if scheme != "blockwise":
        return plan
    head = model.get_output_embeddings()
    wide = tuple(name for name in use.linears if bits < TABLE_BITS and model.get_submodule(name) is head)
    plan = replace(plan, first_token=(), bits=bits, block=block, wide=wide)
    for name in (*plan.linears, *plan.tables):
        columns = weight_of(model, name).shape[1]
        if columns % block:
            raise TrainingError(
                f"{name} has {columns} inputs, which are no whole number of blocks of {block}: set "
                "quantize.block_size to 16, 32, 64 or 128, whichever divides it, or quantize.scheme to dynamic"
            )
    return plan


def read_plan(folder: Path) -> QuantizationConfig:
    """The plan that lies beside a checkpoint's weights."""
    values = json.loads((folder / FILE).read_text(encoding="utf-8"))
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return QuantizationConfig(**fields)


def weight_grid(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Integers and scales of a weight [rows, columns] fp32: int8 [rows, columns] in -127..127, and fp32 [rows].

    A weight that lies on its grid already gives the same integers again. A row of zeros has scale 1.
    """
    weight = weight.detach()
    scale = weight.abs().amax(dim=-1) / 127
    scale = torch.where(scale < torch.finfo(torch.float32).tiny, torch.ones_like(scale), scale)
    return torch.round(weight / scale[:, None]).clamp(-127, 127).to(torch.int8), scale


def dynamic_grid(values: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and zero point (scalars fp32) for a tensor: its range, widened to hold 0, over 0..255.

    Source: ONNX, DynamicQuantizeLinear-11.
    """
    low, high = torch.aminmax(values.detach())
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = torch.where(high == low, torch.ones_like(high), (high - low) / 255)
    return scale, torch.round((-low / scale).clamp(0, 255))


class FakeQuantLinear(nn.Linear):
    """A linear layer whose input and weight are rounded; `attach` turns an nn.Linear into one and `detach` back."""

    first_token: bool
    input_scale: float | None
    bits: int = 8
    block: int = 0

    def forward(self, values: Tensor) -> Tensor:
        """[..., in] to [..., out]. Under autocast the rounding stays fp32, and the product is autocast."""
        return _rounded_product(self, values)


class FakeQuantConv1D(Conv1D):
    """The same of a linear layer that keeps its weight transposed, as GPT-2's do."""

    first_token: bool
    input_scale: float | None
    bits: int = 8
    block: int = 0

    def forward(self, values: Tensor) -> Tensor:
        """As FakeQuantLinear."""
        return _rounded_product(self, values)


def _rounded_product(layer: FakeQuantLinear | FakeQuantConv1D, values: Tensor) -> Tensor:
    with torch.autocast(values.device.type, enabled=False):
        values, weight = values.float(), _rows_rounded(matrix(layer), layer.bits, layer.block)
        if layer.block:
            values = _RoundedBlocks.apply(values, layer.block)
        elif layer.input_scale is not None:
            values = _Fixed.apply(values, layer.input_scale)
        elif layer.first_token and values.dim() == 3 and values.shape[1] > 1:
            # The other tokens reach no output, but a loss may look at them: they get a scale of their own.
            values = torch.cat([_Ranged.apply(values[:, :1]), _Ranged.apply(values[:, 1:])], dim=1)
        else:
            values = _Ranged.apply(values)
    return nn.functional.linear(values, weight, layer.bias)


class FakeQuantEmbedding(nn.Embedding):
    """An embedding table whose rows are rounded."""

    block: int = 0

    def forward(self, ids: Tensor) -> Tensor:
        """Ids [...] to vectors [..., width]."""
        with torch.autocast(ids.device.type, enabled=False):
            return _rows_rounded(super().forward(ids), TABLE_BITS, self.block)


def attach(model: PreTrainedModel, plan: QuantizationConfig) -> PreTrainedModel:
    """Makes the plan's layers round, in place. Parameters, their names and hooks on the layers stay what they are."""
    for name in plan.linears:
        linear = model.get_submodule(name)
        linear.__class__ = FakeQuantLinear if isinstance(linear, nn.Linear) else FakeQuantConv1D
        linear.bits, linear.block = plan.bits_of(name), plan.block  # type: ignore[assignment]
        linear.first_token = name in plan.first_token  # type: ignore[assignment]
        linear.input_scale = plan.scales[name] if plan.scheme == "static" else None  # type: ignore[assignment]
    for name in plan.tables:
        table = model.get_submodule(name)
        table.__class__ = _rounding(type(table))  # type: ignore[arg-type]  # Module.__hash__ as typed hides its class's
        table.block = plan.block  # type: ignore[assignment]
    return model


@cache
def _rounding(kind: type[nn.Module]) -> type[nn.Module]:
    """The class of a table that rounds. Gemma's multiplies what it finds: that goes on, with rows that are rounded."""
    return FakeQuantEmbedding if kind is nn.Embedding else type(kind.__name__, (kind, FakeQuantEmbedding), {})


def detach(model: PreTrainedModel) -> PreTrainedModel:
    """Undoes `attach`, in place."""
    for module in model.modules():
        if isinstance(module, FakeQuantLinear | FakeQuantConv1D):
            del module.first_token, module.input_scale, module.bits, module.block
            module.__class__ = nn.Linear if isinstance(module, nn.Linear) else Conv1D  # type: ignore[assignment]
        elif isinstance(module, FakeQuantEmbedding):
            del module.block
            module.__class__ = type(module).__bases__[0]
    return model


def snap_to_grid(model: PreTrainedModel, plan: QuantizationConfig, *, search: bool = False) -> PreTrainedModel:
    """Puts the plan's weights onto their grids, in place, so that whoever quantises them finds the same integers.

    Args:
        search: searches the range of each block (scheme blockwise, see `block_grid`).
    """
    with torch.no_grad():
        for name in (*plan.linears, *plan.tables):
            weight = weight_of(model, name)
            weight.copy_(plan.rounded(name, weight, search=search))
    return model


def _rows_rounded(rows: Tensor, bits: int, block: int) -> Tensor:
    rounded: Tensor = _WeightBlocks.apply(rows, bits, block) if block else _Rows.apply(rows)
    return rounded


class _WeightBlocks(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, rows: Tensor, bits: int, block: int) -> Tensor:
        return block_grid(rows.flatten(0, -2), bits, block).values().view_as(rows)

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0], None, None


class _RoundedBlocks(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, values: Tensor, block: int) -> Tensor:
        return rounded_blocks(values, block)

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, rows: Tensor) -> Tensor:
        integers, scale = weight_grid(rows.flatten(0, -2))
        return (integers * scale[:, None]).view_as(rows)

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class _Ranged(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        scale, zero = dynamic_grid(values)
        return (values / scale).round_().clamp_(-zero, 255 - zero).mul_(scale)

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class _Fixed(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor, scale: float) -> Tensor:
        steps = (values / scale).round_()
        context.save_for_backward((steps >= -128) & (steps <= 127))
        return steps.clamp_(-128, 127).mul_(scale)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (inside,) = context.saved_tensors
        return gradients[0] * inside, None
