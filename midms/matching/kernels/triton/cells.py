"""Kernels that go over the cells once: features made ready for the products, and the check of a match by its return."""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def _channels(X, at, inside, start, depth, cell_stride, channel_stride, PIECE: tl.constexpr):
    """PIECE channels from `start` of some cells, [PIECE, cells] in float32, and which are there."""
    channels = start + tl.arange(0, PIECE)
    shown = (channels < depth)[:, None] & inside[None]
    to = X + channels.to(tl.int64)[:, None] * channel_stride + at.to(tl.int64)[None] * cell_stride
    return tl.load(to, mask=shown, other=0.0).to(tl.float32), shown


@triton.jit
@no_type_check
def pack_kernel(
    X, Out, cells, depth, batch_stride, cell_stride, channel_stride, part, eps, factor,
    WIDTH: tl.constexpr, PIECE: tl.constexpr, PARTS: tl.constexpr, UNIT: tl.constexpr, CENTRE: tl.constexpr,
    CELLS: tl.constexpr,
):  # fmt: skip
    """X [batch, cells, depth], of any strides, to Out [parts, batch, cells, WIDTH]: times `factor`, rounded.

    With UNIT each cell is brought to unit length first, with CENTRE its mean is subtracted before that; a cell that is
    not longer than `eps`, or not finite, is zero. What is read again is in the cache. Grid (blocks of cells, batch).
    """
    at = tl.program_id(0) * CELLS + tl.arange(0, CELLS)
    b = tl.program_id(1).to(tl.int64)
    inside = at < cells
    X += b * batch_stride
    mean = tl.zeros([CELLS], tl.float32)
    by = tl.full([CELLS], 1.0, tl.float32)
    spoken = inside
    if UNIT:
        broken = tl.zeros([CELLS], tl.int32)
        for start in tl.range(0, depth, PIECE):
            x, _ = _channels(X, at, inside, start, depth, cell_stride, channel_stride, PIECE)
            broken += tl.sum((~(tl.abs(x) <= 3.4028234663852886e38)).to(tl.int32), 0)
            mean += tl.sum(x, 0)
        spoken = spoken & (broken == 0)
        mean = tl.where(spoken, mean / depth, 0.0)
        if not CENTRE:
            mean = tl.zeros([CELLS], tl.float32)
        square = tl.zeros([CELLS], tl.float32)
        for start in tl.range(0, depth, PIECE):
            x, shown = _channels(X, at, inside, start, depth, cell_stride, channel_stride, PIECE)
            x = tl.where(shown & spoken[None], x - mean[None], 0.0)
            square += tl.sum(x * x, 0)
        length = tl.sqrt(square)
        spoken = spoken & (length > eps)
        by = tl.where(spoken, length, 1.0)
    for start in tl.range(0, WIDTH, PIECE):
        x, shown = _channels(X, at, inside, start, depth, cell_stride, channel_stride, PIECE)
        rest = tl.where(shown & spoken[None], (x - mean[None]) / by[None] * factor, 0.0).T
        channels = start + tl.arange(0, PIECE)
        to = Out + (b * cells + at)[:, None] * WIDTH + channels[None]
        for index in tl.static_range(PARTS):
            rounded = rest.to(Out.dtype.element_ty)
            tl.store(to + index * part, rounded, mask=inside[:, None] & (channels < WIDTH)[None])
            rest -= rounded.to(tl.float32)


@triton.jit
@no_type_check
def check_kernel(Forward, Backward, Error, Mask, h, w, back_h, back_w, radius, CELLS: tl.constexpr):
    """See `flow.return_error`. Forward [batch, 2, h w], Backward [batch, 2, back_h back_w]. Grid (blocks, batch)."""
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
