"""How far from itself each cell comes back: the kernel and the operator."""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from midms.matching.kernels.triton.configs import FUSED


@triton.jit
@no_type_check
def cycle_kernel(Forward, Backward, Error, Mask, h, w, back_h, back_w, radius, CELLS: tl.constexpr):
    """Error [batch, h w] is `flow.return_error` of Forward [batch, 2, h w] and Backward [batch, 2, back_h back_w].

    Mask [batch, h w] is 1 where that is under the radius, else 0. Grid (blocks of cells, batch).
    """
    at = tl.program_id(0) * CELLS + tl.arange(0, CELLS)
    b = tl.program_id(1).to(tl.int64)
    inside = at < h * w
    x = tl.load(Forward + b * 2 * h * w + at, mask=inside, other=0.0).to(tl.float32)
    y = tl.load(Forward + (b * 2 + 1) * h * w + at, mask=inside, other=0.0).to(tl.float32)
    nowhere = (x != x) | (y != y)
    x = tl.minimum(tl.maximum(x, 0.0), back_w - 1.0)
    y = tl.minimum(tl.maximum(y, 0.0), back_h - 1.0)
    left, top = tl.floor(x), tl.floor(y)
    far_x, far_y = x - left, y - top
    left, top = left.to(tl.int32), top.to(tl.int32)
    right, low = tl.minimum(left + 1, back_w - 1), tl.minimum(top + 1, back_h - 1)
    square = tl.zeros([CELLS], tl.float32)
    for axis in tl.static_range(2):
        Back = Backward + (b * 2 + axis) * back_h * back_w
        upper = (1 - far_x) * tl.load(Back + top * back_w + left).to(tl.float32)
        upper += far_x * tl.load(Back + top * back_w + right).to(tl.float32)
        lower = (1 - far_x) * tl.load(Back + low * back_w + left).to(tl.float32)
        lower += far_x * tl.load(Back + low * back_w + right).to(tl.float32)
        here = at % w if axis == 0 else at // w
        offset = (1 - far_y) * upper + far_y * lower - here.to(tl.float32)
        square += offset * offset
    error = tl.where(nowhere, float("inf"), tl.sqrt(square) / tl.maximum(h, w).to(tl.float32))
    tl.store(Error + b * h * w + at, error, mask=inside)
    tl.store(Mask + b * h * w + at, (error < radius).to(tl.float32), mask=inside)


@torch.library.custom_op(
    "midms::cycle", mutates_args=(), schema="(Tensor forward, Tensor backward, float radius) -> (Tensor, Tensor)"
)
def cycle(forward: Tensor, backward: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """See `reference.cycle`."""
    (b, _, h, w), cells = forward.shape, 128
    error, mask = (forward.new_empty(b, 1, h, w, dtype=torch.float32) for _ in range(2))
    cycle_kernel[(triton.cdiv(h * w, cells), b)](
        forward.contiguous(),
        backward.contiguous(),
        error,
        mask,
        h,
        w,
        *backward.shape[2:],
        radius,
        CELLS=cells,
        **FUSED,
    )
    return error, mask


@cycle.register_fake
def _(forward: Tensor, backward: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    like = forward[:, :1].float()
    return torch.empty_like(like), torch.empty_like(like)
