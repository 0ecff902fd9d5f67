"""Operands as the kernels read them, see `tiles`: padded, rounded, split into parts. The kernel and its launch."""

from __future__ import annotations

import math
from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from midms.matching.kernels.triton.configs import FUSED, WHOLE_WIDTH, ProductConfig

LN2 = math.log(2)
LOG2E = 1 / LN2

SPLIT_SCALE = 64.0
"""Unit features are multiplied by it before they are split into two parts, so that the small one is no denormal."""


@triton.jit
@no_type_check
def pack_kernel(
    X, Out, cells, depth, batch_stride, cell_stride, channel_stride, part, factor,
    WIDTH: tl.constexpr, PIECE: tl.constexpr, PARTS: tl.constexpr, CELLS: tl.constexpr,
):  # fmt: skip
    """X [batch, cells, depth], of any strides, times `factor` to Out [PARTS, batch, cells, WIDTH], padded with zeros.

    Each part is what the parts before it left over, rounded to nearest. Grid (blocks of cells, batch).
    """
    at = tl.program_id(0) * CELLS + tl.arange(0, CELLS)
    b = tl.program_id(1).to(tl.int64)
    inside = at < cells
    X += b * batch_stride
    for start in tl.range(0, WIDTH, PIECE):
        channels = start + tl.arange(0, PIECE)
        shown = (channels < depth)[:, None] & inside[None]
        x = X + channels.to(tl.int64)[:, None] * channel_stride + at.to(tl.int64)[None] * cell_stride
        rest = (tl.load(x, mask=shown, other=0.0).to(tl.float32) * factor).T
        to = Out + (b * cells + at)[:, None] * WIDTH + channels[None]
        for index in tl.static_range(PARTS):
            rounded = rest.to(Out.dtype.element_ty)
            tl.store(to + index * part, rounded, mask=inside[:, None] & (channels < WIDTH)[None])
            rest -= rounded.to(tl.float32)


def padded(width: int) -> int:
    """The width that features are padded to: a power of two up to `WHOLE_WIDTH`, then a multiple of 128."""
    return max(16, triton.next_power_of_2(width)) if width <= WHOLE_WIDTH else -(-width // 128) * 128


def padded_values(width: int) -> int:
    """The width that values are padded to: a power of two up to 128, then a multiple of 32; 0 for none."""
    return width and (max(16, triton.next_power_of_2(width)) if width <= 128 else -(-width // 32) * 32)


def pack(x: Tensor, dtype: torch.dtype, parts: int, width: int, by: float = 1.0) -> Tensor:
    """[b n d] times `by` to [parts b n width]."""
    (b, n, d), cells = x.shape, 512 if x.device.type == "cpu" else 32  # the interpreter pays by the program
    out = torch.empty(parts, b, n, width, dtype=dtype, device=x.device)
    if out.numel():
        piece = min(64, max(16, triton.next_power_of_2(width)))
        pack_kernel[(triton.cdiv(n, cells), b)](
            x, out, n, d, *x.stride(), b * n * width, by, WIDTH=width, PIECE=piece, PARTS=parts, CELLS=cells, **FUSED
        )
    return out


def pack_features(x: Tensor, precision: ProductConfig, parts: int) -> Tensor:
    """[b n d] to [parts b n width], `factor(precision)` times as large."""
    return pack(x, precision.operand, parts, padded(x.shape[2]), factor(precision))


def factor(precision: ProductConfig) -> float:
    """What packed features are too large by, so that the smaller part is no denormal."""
    return SPLIT_SCALE if precision.parts == 2 else 1.0


def value_scales(v: Tensor, precision: ProductConfig) -> Tensor:
    """[b c] the power of two above the largest value of each channel of v [b m c]; 1 where values stay float32."""
    if precision.operand == torch.float32 or not v.numel():
        return v.new_ones(len(v), v.shape[2], dtype=torch.float32)
    return torch.frexp(v.float().abs().amax(1)).exponent.float().exp2()
