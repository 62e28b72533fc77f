"""Weights as integers of 4 or 8 bits in blocks of inputs, each block with a scale of its own, as onnxruntime's
MatMulNBits and GatherBlockQuantized hold them, and llama.cpp, GPTQ and AWQ in formats of theirs.

4 bits are asymmetric, as 15 steps around zero would waste one end of most blocks: q = round(w / s) + z with
s = (max - min) / 15, the range widened to hold 0. 8 bits are symmetric: z = 128, s = max|w| / 127.

What such a layer reads is rounded too: onnxruntime multiplies integers (`accuracy_level` 4), and gives each block of
inputs of each token a scale of its own, s = max|x| / 127.
Source: onnxruntime, ContribOperators.md (MatMulNBits), sqnbitgemm_kernel_*.h (QuantizeARow_CompInt8).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

CLIPS = (1.0, 0.97, 0.94, 0.91, 0.88, 0.85, 0.82, 0.79, 0.76, 0.72)
"""Shares of a block's range that are tried where the clipping is searched."""
SYMMETRIC_ZERO = 128


@dataclass(frozen=True)
class BlockGrid:
    """A weight [rows, columns] in blocks of columns."""

    integers: Tensor
    """uint8 [rows, columns], in 0..15 or 0..255."""
    scales: Tensor
    """fp32 [rows, blocks]."""
    zeros: Tensor
    """uint8 [rows, blocks]: the integer that means 0."""
    bits: int

    def values(self) -> Tensor:
        """The weight that the integers mean, fp32 [rows, columns]."""
        rows, blocks = self.scales.shape
        steps = self.integers.view(rows, blocks, -1).float() - self.zeros[..., None]
        return (steps * self.scales[..., None]).view(rows, -1)

    def rows(self, start: int, end: int) -> "BlockGrid":
        """The same of some rows."""
        return BlockGrid(self.integers[start:end], self.scales[start:end], self.zeros[start:end], self.bits)


def block_grid(weight: Tensor, bits: int, block: int, *, search: bool = False) -> BlockGrid:
    """The grid of a weight and the integers on it. A weight that lies on its grid already gives the same ones again.

    Args:
        weight: fp32 [rows, columns], columns a multiple of `block`.
        bits: 4 or 8.
        search: takes of each block the range, out of `CLIPS`, whose rounding loses least (4 bits).
    """
    parts = weight.detach().float().view(weight.shape[0], -1, block)
    if bits == 8:
        scales = _never_zero(parts.abs().amax(dim=-1) / 127)
        zeros = torch.full_like(scales, SYMMETRIC_ZERO)
    else:
        low, high = parts.amin(dim=-1).clamp(max=0), parts.amax(dim=-1).clamp(min=0)
        scales, zeros = _range(low, high, 1.0)
        if search:
            least = _loss(parts, scales, zeros)
            for share in CLIPS[1:]:
                tried, at = _range(low, high, share)
                loss = _loss(parts, tried, at)
                better = loss < least
                least = torch.where(better, loss, least)
                scales, zeros = torch.where(better, tried, scales), torch.where(better, at, zeros)
    integers = _integers(parts, scales, zeros, bits).to(torch.uint8)
    return BlockGrid(integers.view(weight.shape), scales, zeros.to(torch.uint8), bits)


def rounded_blocks(values: Tensor, block: int) -> Tensor:
    """What a product of integers makes of its input [..., columns]: each block of each row on 255 steps."""
    parts = values.view(*values.shape[:-1], -1, block)
    scales = _never_zero(parts.abs().amax(dim=-1, keepdim=True) / 127)
    return (torch.round(parts / scales) * scales).view(values.shape)


def _range(low: Tensor, high: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Scales and zero points [rows, blocks] of a share of the range."""
    scales = _never_zero((high - low) * (share / 15))
    return scales, torch.round(-low * share / scales).clamp(0, 15)


def _integers(parts: Tensor, scales: Tensor, zeros: Tensor, bits: int) -> Tensor:
    return (torch.round(parts / scales[..., None]) + zeros[..., None]).clamp(0, 2**bits - 1)


def _loss(parts: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    steps = _integers(parts, scales, zeros, 4) - zeros[..., None]
    return (steps * scales[..., None] - parts).square_().sum(dim=-1)


def _never_zero(scales: Tensor) -> Tensor:
    return torch.where(scales < torch.finfo(torch.float32).tiny, torch.ones_like(scales), scales)
