"""Operands as the kernels read them, see `triton_tiles`."""

from __future__ import annotations

import math

import torch
import triton
from torch import Tensor

from midms.matching.kernels.reference import SPLIT_SCALE
from midms.matching.kernels.triton.cells import pack_kernel
from midms.matching.kernels.triton.configs import FUSED, WHOLE_WIDTH, Precision

LN2 = math.log(2)
LOG2E = 1 / LN2


def padded(width: int) -> int:
    """A power of two up to `WHOLE_WIDTH`, then a multiple of 128."""
    return max(16, triton.next_power_of_2(width)) if width <= WHOLE_WIDTH else -(-width // 128) * 128


def padded_values(width: int) -> int:
    """A power of two up to 128, then a multiple of 32; 0 for none."""
    return width and (max(16, triton.next_power_of_2(width)) if width <= 128 else -(-width // 32) * 32)


def pack(x: Tensor, dtype: torch.dtype, parts: int, width: int, by: float = 1.0) -> Tensor:
    """[b n d] times `by` to [parts b n width]."""
    return _packed(x, dtype, parts, width, by)


def pack_features(x: Tensor, precision: Precision, parts: int) -> Tensor:
    """Times `factor(precision)`."""
    return _packed(x, precision.operand, parts, padded(x.shape[2]), factor(precision))


def pack_units(x: Tensor, dtype: torch.dtype, parts: int, by: float, centre: bool, eps: float) -> Tensor:
    """[b n d] to unit vectors times `by`, [parts b n d], see `reference.prepare`."""
    return _packed(x, dtype, parts, x.shape[2], by, True, centre, eps)


def _packed(
    x: Tensor, dtype: torch.dtype, parts: int, width: int, by: float, unit: bool = False, centre: bool = False,
    eps: float = 0.0,
) -> Tensor:  # fmt: skip
    (b, n, d), cells = x.shape, 512 if x.device.type == "cpu" else 32  # the interpreter pays by the program
    out = torch.empty(parts, b, n, width, dtype=dtype, device=x.device)
    if out.numel():
        piece = min(64, max(16, triton.next_power_of_2(width)))
        pack_kernel[(triton.cdiv(n, cells), b)](
            x, out, n, d, *x.stride(), b * n * width, eps, by,
            WIDTH=width, PIECE=piece, PARTS=parts, UNIT=unit, CENTRE=centre, CELLS=cells, **FUSED,
        )  # fmt: skip
    return out


def factor(precision: Precision) -> float:
    """What packed features are too large by, so that the smaller part is no denormal."""
    return SPLIT_SCALE if precision.parts == 2 else 1.0


def units(v: Tensor, precision: Precision) -> Tensor:
    """[b c] powers of two, of each channel's largest value; float32 holds all as they are."""
    if precision.operand == torch.float32 or not v.numel():
        return v.new_ones(len(v), v.shape[2], dtype=torch.float32)
    return torch.frexp(v.float().abs().amax(1)).exponent.float().exp2()
