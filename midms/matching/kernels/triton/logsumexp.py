"""Logsumexp of the rows and of the columns from one product: the kernel and its launch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import no_type_check

import triton
import triton.language as tl

from midms.matching.kernels.triton.combine import Result, combined, empty_result
from midms.matching.kernels.triton.configs import ALONE, FUSED, choose
from midms.matching.kernels.triton.options import Direction, Options, bias_of, splits_of
from midms.matching.kernels.triton.tiles import (
    COUNTS,
    LOWEST,
    both_parts,
    chunked_products,
    share_of_columns,
    tile_products,
)


@triton.jit(do_not_specialize=COUNTS)
@no_type_check
def logsumexp_kernel(
    Q, K, RowBias, ColumnBias, Lse, ULse, n, m, batches, splits, scale, floor,
    WIDTH: tl.constexpr, CHUNK: tl.constexpr, PARTS: tl.constexpr, PRODUCT: tl.constexpr, BIASED: tl.constexpr,
    FLOORED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Logsumexp in base 2 of the rows and of the columns of scale * max(Q K^T, floor), for symmetric Sinkhorn.

    Lse [splits, batch, n] is that of the rows over a share of the columns, ColumnBias [batch, m] added; ULse
    [blocks of rows, batch, m] that of the columns over a block of rows, RowBias [batch, n] added.
    Grid (blocks of rows x splits, batch).
    """
    block = tl.program_id(0) // splits
    split = tl.program_id(0) % splits
    b = tl.program_id(1).to(tl.int64)
    rows = block * ROWS + tl.arange(0, ROWS)
    inside = rows < n
    q_part, k_part = batches.to(tl.int64) * n * WIDTH, batches.to(tl.int64) * m * WIDTH
    Q += b * n * WIDTH
    K += b * m * WIDTH
    WHOLE: tl.constexpr = CHUNK == WIDTH
    if WHOLE:
        q, q_low = both_parts(Q, rows, n, q_part, 0, WIDTH, WIDTH, PARTS)
    row_bias = tl.where(inside, 0.0, float("-inf"))
    if BIASED:
        row_bias = tl.load(RowBias + b * n + rows, mask=inside, other=float("-inf"))
    top = tl.full([ROWS], LOWEST, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    first, last = share_of_columns(split, splits, m, COLUMNS)
    for start in tl.range(first, last, COLUMNS, num_stages=STAGES if WHOLE else 1):
        columns = start + tl.arange(0, COLUMNS)
        there = columns < m
        if WHOLE:
            k, k_low = both_parts(K, columns, m, k_part, 0, WIDTH, WIDTH, PARTS)
            s = tile_products(q, q_low, k, k_low, tl.zeros([ROWS, COLUMNS], tl.float32), PARTS, PARTS, PRODUCT)
        else:
            s = chunked_products(Q, K, rows, columns, n, m, q_part, k_part, WIDTH, CHUNK, PARTS, PARTS, PRODUCT, STAGES)
        if FLOORED:
            s = tl.maximum(s, floor)
        s = s * scale
        column_bias = tl.where(there, 0.0, float("-inf"))
        if BIASED:
            column_bias = tl.load(ColumnBias + b * m + columns, mask=there, other=float("-inf"))
        logits = s + column_bias[None]
        higher = tl.maximum(top, tl.max(logits, 1))
        total = total * tl.exp2(top - higher) + tl.sum(tl.exp2(logits - higher[:, None]), 1)
        top = higher
        logits = s + row_bias[:, None]
        highest = tl.maximum(tl.max(logits, 0), LOWEST)
        lse = highest + tl.log2(tl.sum(tl.exp2(logits - highest[None]), 0))
        tl.store(ULse + (block * batches + b) * m + columns, lse, mask=there)
    at = (split * batches + b) * n + rows
    tl.store(Lse + at, tl.where(total > 0, top + tl.log2(total), float("-inf")), mask=inside)


def logsumexp_both(options: Options, directions: Sequence[Direction]) -> list[Result]:
    """The logsumexp of both directions and nothing else, from one product; all other fields are empty."""
    rows, columns = directions
    _, batches, n, width = rows.reader.shape
    m, spec = columns.reader.shape[2], options.spec
    tile = choose(ALONE, options.precision, rows.reader.device, 0, batches * n)
    splits = splits_of(batches, n, m, tile, rows.reader.device)
    biased = rows.bias is not None or columns.bias is not None
    forth = empty_result(rows.reader, (splits, batches, n), 0, options)
    back = empty_result(rows.reader, (triton.cdiv(n, tile.rows), batches, m), 0, options)
    scale, floor = options.numbers
    logsumexp_kernel[(triton.cdiv(n, tile.rows) * splits, batches)](
        rows.reader, columns.reader, bias_of(columns, biased), bias_of(rows, biased), forth.logsumexp, back.logsumexp,
        n, m, batches, splits, scale, floor,
        WIDTH=width, CHUNK=tile.chunk_of(width), PARTS=spec.parts, PRODUCT=spec.product, BIASED=biased,
        FLOORED=options.floor is not None, ROWS=tile.rows, COLUMNS=tile.columns, STAGES=tile.stages,
        num_warps=tile.warps, **FUSED,
    )  # fmt: skip
    return [combined(forth, options), combined(back, options)]
