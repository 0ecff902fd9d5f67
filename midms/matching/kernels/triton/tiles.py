"""What the Triton kernels share: tiles of operands, and products of tiles at a named precision.

Operands are packed: [parts, batch, tokens, width], contiguous, the width padded with zeros. A part is a rounding of
what the parts before it left over.
"""

from __future__ import annotations

import os
from typing import no_type_check

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET", "0") == "1")
"""Whether the kernels run in Triton's interpreter, on the CPU. It multiplies the bit patterns of bfloat16."""

LOWEST = tl.constexpr(-1e30)
"""Below every logit but those of a column that takes no part."""

COUNTS = ("n", "m", "c", "e", "batches", "splits", "u_splits", "du_start", "tokens")
"""Arguments that stay arguments when they are 1, which Triton would make constants: kernels convert and exchange them.
So what is launched is what is compiled ahead of time."""

LIFT = tl.constexpr(12.0)
"""Weights are exp2(logit - maximum + LIFT), so that float16 holds small ones with all its digits."""


@triton.jit
@no_type_check
def tile_dot(a, b, total, PRODUCT: tl.constexpr):
    """Total [n, m] + a [n, k] b [k, m]. PRODUCT says how float32 is multiplied: "ieee" or "tf32"."""
    if INTERPRETED:
        return total + tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="ieee")
    return tl.dot(a, b, total, input_precision=PRODUCT)


@triton.jit
@no_type_check
def tile(X, rows, count, start, WIDTH: tl.constexpr, PIECE: tl.constexpr):
    """PIECE columns from `start` of the given rows of X [count, WIDTH]; rows from `count` on are zero."""
    columns = start + tl.arange(0, PIECE)
    return tl.load(X + rows[:, None] * WIDTH + columns[None], mask=(rows < count)[:, None], other=0.0)


@triton.jit
@no_type_check
def both_parts(X, rows, count, part, start, WIDTH: tl.constexpr, PIECE: tl.constexpr, PARTS: tl.constexpr):
    """`tile` of the first part of X, and of the second, `part` entries on, where there are two."""
    high = tile(X, rows, count, start, WIDTH, PIECE)
    low = high
    if PARTS == 2:
        low = tile(X + part, rows, count, start, WIDTH, PIECE)
    return high, low


@triton.jit
@no_type_check
def share_of_columns(split, splits, m, COLUMNS: tl.constexpr):
    """From which of m columns to which the program `split` of `splits` goes, in blocks of COLUMNS."""
    share = tl.cdiv(tl.cdiv(m, COLUMNS), splits) * COLUMNS
    first = split * share
    return first, tl.minimum(first + share, m)


@triton.jit
@no_type_check
def tile_products(a, a_low, b, b_low, total, A_PARTS: tl.constexpr, B_PARTS: tl.constexpr, PRODUCT: tl.constexpr):
    """Total [n, m] + a [n, k] b^T [k, m], the small terms first; low times low is below float32's rounding."""
    if B_PARTS == 2:
        total = tile_dot(a, b_low.T, total, PRODUCT)
    if A_PARTS == 2:
        total = tile_dot(a_low, b.T, total, PRODUCT)
    return tile_dot(a, b.T, total, PRODUCT)


@triton.jit
@no_type_check
def chunked_products(
    A, B, a_rows, b_rows, n, m, a_part, b_part,
    WIDTH: tl.constexpr, CHUNK: tl.constexpr, A_PARTS: tl.constexpr, B_PARTS: tl.constexpr, PRODUCT: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """a b^T [rows of A, rows of B] where the width does not fit at once: both are streamed in CHUNKs."""
    total = tl.zeros([a_rows.shape[0], b_rows.shape[0]], tl.float32)
    for start in tl.range(0, WIDTH, CHUNK, num_stages=STAGES):
        a = tile(A, a_rows, n, start, WIDTH, CHUNK)
        b = tile(B, b_rows, m, start, WIDTH, CHUNK)
        a_low, b_low = a, b
        if A_PARTS == 2:
            a_low = tile(A + a_part, a_rows, n, start, WIDTH, CHUNK)
        if B_PARTS == 2:
            b_low = tile(B + b_part, b_rows, m, start, WIDTH, CHUNK)
        total = tile_products(a, a_low, b, b_low, total, A_PARTS, B_PARTS, PRODUCT)
    return total


@triton.jit
@no_type_check
def add_weighted(weights, V, rows, count, v_part, start, total,
          WIDTH: tl.constexpr, PIECE: tl.constexpr, PARTS: tl.constexpr, PRODUCT: tl.constexpr):  # fmt: skip
    """Total + weights v, for PIECE columns of values from `start`; with two parts, the weights are split too."""
    v = tile(V, rows, count, start, WIDTH, PIECE)
    high = weights.to(v.dtype)
    if PARTS == 2:
        total = tile_dot((weights - high.to(tl.float32)).to(v.dtype), v, total, PRODUCT)
        total = tile_dot(high, tile(V + v_part, rows, count, start, WIDTH, PIECE), total, PRODUCT)
    return tile_dot(high, v, total, PRODUCT)
