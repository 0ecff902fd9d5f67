"""Attention, backward: one kernel for every gradient, both sides and both directions, and its launch.

Deterministic, without atomics. A side A stays, the other side B streams by. Each tile of the matrix is made again once
and serves up to two directions: A attends to B, and B attends to A (FlashAttention 2, Dao 2023, arXiv:2307.08691,
alg. 2, has one). The gradient of the rows' features is this kernel with the rows as A, that of the columns' with the
columns as A.
"""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from midms.matching.kernels.triton.configs import FUSED, Tile
from midms.matching.kernels.triton.logit_grad import Packed
from midms.matching.kernels.triton.options import Options, splits_of
from midms.matching.kernels.triton.tiles import (
    COUNTS,
    LIFT,
    LOWEST,
    add_weighted,
    both_parts,
    chunked_products,
    share_of_columns,
    tile,
    tile_dot,
    tile_products,
)


@triton.jit
@no_type_check
def _logit_grad(s, lse, row_offset, entropy_grad, peak_grad, hit, lift, dp, ENTROPY: tl.constexpr, PEAK: tl.constexpr):
    """P and the gradient of the logits, [ROWS, COLUMNS], both times 2^LIFT; s are the logits in base 2.

    d_logits = P * (dp + row_offset + entropy_grad * s), and peak_grad more where `hit`: see `logit_grad.LogitGrad`.
    """
    p = tl.exp2(s - (lse - LIFT))
    d_logits = dp + row_offset
    if ENTROPY:
        d_logits += entropy_grad * tl.maximum(s, LOWEST)
    d_logits = p * d_logits
    if PEAK:
        d_logits += tl.where(hit, peak_grad * lift, 0.0)
    return p, d_logits


@triton.jit
@no_type_check
def _value_products_piece(D, V, d_rows, v_rows, n, m, d_part, v_part, start, total,
                WIDTH: tl.constexpr, PIECE: tl.constexpr, PARTS: tl.constexpr, PRODUCT: tl.constexpr):  # fmt: skip
    """Total + <d_i, v_j> over PIECE columns of the values from `start`."""
    d = tile(D, d_rows, n, start, WIDTH, PIECE)  # in this order: with `both_parts` sm_80 spills
    v = tile(V, v_rows, m, start, WIDTH, PIECE)
    d_low, v_low = d, v
    if PARTS == 2:
        d_low = tile(D + d_part, d_rows, n, start, WIDTH, PIECE)
        v_low = tile(V + v_part, v_rows, m, start, WIDTH, PIECE)
    return tile_products(d, d_low, v, v_low, total, PARTS, PARTS, PRODUCT)


@triton.jit
@no_type_check
def _value_products(D, V, d_rows, v_rows, n, m, d_part, v_part,
          WIDTH: tl.constexpr, PIECE: tl.constexpr, PARTS: tl.constexpr, PRODUCT: tl.constexpr):  # fmt: skip
    """<d_i, v_j> over values of any width, piece by piece. Unrolled, so that the loop around it is pipelined.

    With two parts it is not: that would take too much shared memory, and the loop around it is not pipelined anyhow.
    """
    total = tl.zeros([d_rows.shape[0], v_rows.shape[0]], tl.float32)
    if PARTS == 1 or WIDTH == PIECE:
        for piece in tl.static_range(WIDTH // PIECE):
            total = _value_products_piece(
                D, V, d_rows, v_rows, n, m, d_part, v_part, piece * PIECE, total, WIDTH, PIECE, PARTS, PRODUCT
            )
    else:
        for start in tl.range(0, WIDTH, PIECE, num_stages=1):
            total = _value_products_piece(
                D, V, d_rows, v_rows, n, m, d_part, v_part, start, total, WIDTH, PIECE, PARTS, PRODUCT
            )
    return total


@triton.jit(do_not_specialize=COUNTS)
@no_type_check
def backward_kernel(
    A, B, DA, n, m, batches, splits, scale, floor,
    V, DOut, Lse, RowOffset, EntropyGrad, PeakGrad, Best, BBias,
    U, DUOut, ULse, URowOffset, UEntropyGrad, UPeakGrad, UBest, ABias, DU, DABias, du_start,
    WIDTH: tl.constexpr, CHUNK: tl.constexpr, PIECE: tl.constexpr, A_PARTS: tl.constexpr, B_PARTS: tl.constexpr,
    V_PARTS: tl.constexpr, PRODUCT: tl.constexpr, B_BIASED: tl.constexpr, A_BIASED: tl.constexpr,
    FLOORED: tl.constexpr, ENTROPY: tl.constexpr, PEAK: tl.constexpr,
    A_ATTENDS: tl.constexpr, VALUES: tl.constexpr, V_PIECE: tl.constexpr,
    B_ATTENDS: tl.constexpr, U_VALUES: tl.constexpr, U_PIECE: tl.constexpr,
    FEATURES: tl.constexpr, BIAS: tl.constexpr, DU_WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Gradients of side A, summed over one share of side B. Grid (blocks of A x splits, batch, pieces of features).

    A [parts, batch, n, WIDTH] and B [parts, batch, m, WIDTH] are packed features. With A_ATTENDS, A attends to B: V
    [parts, batch, m, VALUES] are the values, DOut [parts, batch, n, VALUES] is the gradient of the result, Lse to Best
    [batch, n] are as in `logit_grad.Packed`. With B_ATTENDS, B attends to A: likewise U, DUOut, and ULse to UBest
    [batch, m]. Writes with FEATURES DA [splits, batch, n, WIDTH], with BIAS DABias [splits, batch, n], and with
    DU_WIDTH DU [splits, batch, n, DU_WIDTH], the gradient of the columns of U from `du_start` on.
    """
    block = tl.program_id(0) // splits
    split = tl.program_id(0) % splits
    b = tl.program_id(1).to(tl.int64)
    piece = tl.program_id(2) * PIECE
    rows = block * ROWS + tl.arange(0, ROWS)
    inside = rows < n
    a_part, b_part = batches.to(tl.int64) * n * WIDTH, batches.to(tl.int64) * m * WIDTH
    A += b * n * WIDTH
    B += b * m * WIDTH
    WHOLE: tl.constexpr = CHUNK == WIDTH
    D_LOGITS: tl.constexpr = FEATURES or BIAS
    lift = 1.0 * 4096
    if WHOLE:
        a, a_low = both_parts(A, rows, n, a_part, 0, WIDTH, WIDTH, A_PARTS)
    if A_ATTENDS:
        v_part, d_part = batches.to(tl.int64) * m * VALUES, batches.to(tl.int64) * n * VALUES
        V += b * m * VALUES
        DOut += b * n * VALUES
        lse = tl.load(Lse + b * n + rows, mask=inside, other=0.0)
        row_offset = tl.load(RowOffset + b * n + rows, mask=inside, other=0.0)
        entropy_grad, peak_grad, best = row_offset, row_offset, rows
        if ENTROPY:
            entropy_grad = tl.load(EntropyGrad + b * n + rows, mask=inside, other=0.0)
        if PEAK:
            peak_grad = tl.load(PeakGrad + b * n + rows, mask=inside, other=0.0)
            best = tl.load(Best + b * n + rows, mask=inside, other=-1)
    if B_ATTENDS:
        u_part, du_part = batches.to(tl.int64) * n * U_VALUES, batches.to(tl.int64) * m * U_VALUES
        U += b * n * U_VALUES
        DUOut += b * m * U_VALUES
        if A_BIASED:
            a_bias = tl.load(ABias + b * n + rows, mask=inside, other=float("-inf"))
    if FEATURES:
        da = tl.zeros([ROWS, PIECE], tl.float32)
    if BIAS:
        da_bias = tl.zeros([ROWS], tl.float32)
    if DU_WIDTH:
        du = tl.zeros([ROWS, DU_WIDTH], tl.float32)
    first, last = share_of_columns(split, splits, m, COLUMNS)
    for start in tl.range(first, last, COLUMNS, num_stages=STAGES if WHOLE else 1):
        columns = start + tl.arange(0, COLUMNS)
        there = columns < m
        if WHOLE:
            streamed, streamed_low = both_parts(B, columns, m, b_part, 0, WIDTH, WIDTH, B_PARTS)
            zero = tl.zeros([ROWS, COLUMNS], tl.float32)
            s = tile_products(a, a_low, streamed, streamed_low, zero, A_PARTS, B_PARTS, PRODUCT)
        else:
            s = chunked_products(
                A, B, rows, columns, n, m, a_part, b_part, WIDTH, CHUNK, A_PARTS, B_PARTS, PRODUCT, STAGES
            )
        if FLOORED:
            above = s >= floor
            s = tl.maximum(s, floor)
        s = s * scale
        d_logits = tl.zeros([ROWS, COLUMNS], tl.float32)
        if A_ATTENDS and D_LOGITS:
            if B_BIASED:
                logits = s + tl.load(BBias + b * m + columns, mask=there, other=float("-inf"))[None]
            else:
                logits = tl.where(there[None], s, float("-inf"))
            dp = tl.zeros([ROWS, COLUMNS], tl.float32)
            if VALUES:
                dp = _value_products(DOut, V, rows, columns, n, m, d_part, v_part, VALUES, V_PIECE, V_PARTS, PRODUCT)
            hit = columns[None] == best[:, None]
            _, own = _logit_grad(
                logits,
                lse[:, None],
                row_offset[:, None],
                entropy_grad[:, None],
                peak_grad[:, None],
                hit,
                lift,
                dp,
                ENTROPY,
                PEAK,
            )
            d_logits += own
        if B_ATTENDS:
            u_lse = tl.load(ULse + b * m + columns, mask=there, other=float("inf"))
            u_row_offset = tl.load(URowOffset + b * m + columns, mask=there, other=0.0)
            u_entropy_grad, u_peak_grad, u_best = u_row_offset, u_row_offset, columns
            if ENTROPY:
                u_entropy_grad = tl.load(UEntropyGrad + b * m + columns, mask=there, other=0.0)
            if PEAK:
                u_peak_grad = tl.load(UPeakGrad + b * m + columns, mask=there, other=0.0)
                u_best = tl.load(UBest + b * m + columns, mask=there, other=-1)
            logits = s
            if A_BIASED:
                logits = s + a_bias[:, None]
            dp = tl.zeros([ROWS, COLUMNS], tl.float32)
            if U_VALUES and D_LOGITS:
                dp = _value_products(
                    U, DUOut, rows, columns, n, m, u_part, du_part, U_VALUES, U_PIECE, V_PARTS, PRODUCT
                )
            hit = rows[:, None] == u_best[None]
            p, d_logits_b = _logit_grad(
                logits,
                u_lse[None],
                u_row_offset[None],
                u_entropy_grad[None],
                u_peak_grad[None],
                hit,
                lift,
                dp,
                ENTROPY,
                PEAK,
            )
            if DU_WIDTH:
                du = add_weighted(p, DUOut, columns, m, du_part, du_start, du, U_VALUES, DU_WIDTH, V_PARTS, PRODUCT)
            if BIAS:
                da_bias += tl.sum(d_logits_b, 1)
            d_logits += d_logits_b
        if FEATURES:
            if FLOORED:
                d_logits = tl.where(above, d_logits, 0.0)
            if WHOLE:
                high = d_logits.to(streamed.dtype)
                if V_PARTS == 2:
                    da = tile_dot((d_logits - high.to(tl.float32)).to(streamed.dtype), streamed, da, PRODUCT)
                    da = tile_dot(high, streamed_low, da, PRODUCT)
                da = tile_dot(high, streamed, da, PRODUCT)
            else:
                da = add_weighted(d_logits, B, columns, m, b_part, piece, da, WIDTH, PIECE, V_PARTS, PRODUCT)
    start = (split * batches + b) * n
    if FEATURES:
        features = piece + tl.arange(0, PIECE)
        tl.store(DA + start * WIDTH + rows[:, None] * WIDTH + features[None], da, mask=inside[:, None])
    if BIAS:
        tl.store(DABias + start + rows, da_bias, mask=inside)
    if DU_WIDTH:
        values = tl.arange(0, DU_WIDTH)
        tl.store(DU + start * DU_WIDTH + rows[:, None] * DU_WIDTH + values[None], du, mask=inside[:, None])


def constants(
    options: Options, width: int, parts: tuple[int, int], a_attends: Packed | None, b_attends: Packed | None, tile: Tile
) -> dict[str, object]:
    """The constexpr arguments of `backward_kernel`, but for FEATURES, BIAS and DU_WIDTH."""
    sides = [side for side in (a_attends, b_attends) if side is not None]
    return {
        "WIDTH": width, "CHUNK": tile.chunk_of(width), "PIECE": tile.piece_of(width),
        "A_PARTS": parts[0], "B_PARTS": parts[1], "V_PARTS": options.spec.value_parts, "PRODUCT": options.spec.product,
        "B_BIASED": a_attends is not None and a_attends.bias is not None,
        "A_BIASED": b_attends is not None and b_attends.bias is not None,
        "FLOORED": options.floor is not None, "ENTROPY": any(side.entropy_grad is not None for side in sides),
        "PEAK": any(side.peak_grad is not None for side in sides),
        "A_ATTENDS": a_attends is not None, "VALUES": a_attends.width if a_attends else 0,
        "V_PIECE": a_attends.piece if a_attends else 16,
        "B_ATTENDS": b_attends is not None, "U_VALUES": b_attends.width if b_attends else 0,
        "U_PIECE": b_attends.piece if b_attends else 16,
        "ROWS": tile.rows, "COLUMNS": tile.columns, "STAGES": tile.stages,
    }  # fmt: skip


def backward(
    options: Options, a: Tensor, b: Tensor, parts: tuple[int, int], a_attends: Packed | None, b_attends: Packed | None,
    tile: Tile, features: bool, bias: bool, value_width: int, start: int = 0,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
    """Gradients of features, bias, and `value_width` columns of the values from `start`; still lifted and shrunk."""
    _, batches, n, width = a.shape
    splits = splits_of(batches, n, b.shape[2], tile, a.device)
    made = [
        torch.empty(splits, batches, n, *rest, device=a.device) if asked else None
        for asked, rest in ((features, (width,)), (bias, ()), (value_width, (value_width,)))
    ]
    grid = (triton.cdiv(n, tile.rows) * splits, batches, width // tile.piece_of(width) if features else 1)
    nothing = (None,) * 8
    one, two = a_attends or nothing, b_attends or nothing
    backward_kernel[grid](
        a, b, made[0], n, b.shape[2], batches, splits, *options.numbers,
        *one[:8], *two[:8], made[2], made[1], start,
        **constants(options, width, parts, a_attends, b_attends, tile),
        FEATURES=features, BIAS=bias, DU_WIDTH=value_width, num_warps=tile.warps, **FUSED,
    )  # fmt: skip
    d_features, d_bias, d_values = (None if x is None else x[0] if splits == 1 else x.sum(0) for x in made)
    return d_features, d_bias, d_values
