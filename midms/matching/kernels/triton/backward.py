"""The backward kernel: one for every gradient, both sides and both directions; deterministic, without atomics.

A side A stays, the other side B streams by. Each tile of the matrix is made again once and serves up to two couplings,
that in which A reads B, and that in which B reads A (FlashAttention 2, Dao 2023, arXiv:2307.08691, alg. 2, has one).
The gradient of the rows' features is this kernel with the rows as A, that of the columns' with the columns as A.
"""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

from midms.matching.kernels.triton.tiles import COUNTS, LIFT, LOWEST, carry, chunked_products, dot, products, tile


@triton.jit
@no_type_check
def _slope(s, mass, tilt, warmth, at_best, hit, lift, dp, WARM: tl.constexpr, BEST: tl.constexpr):
    """Of the logits s in base 2, and the coupling; both 2^LIFT times too large. See `autograd.pull`."""
    p = tl.exp2(s - (mass - LIFT))
    slope = dp + tilt
    if WARM:
        slope += warmth * tl.maximum(s, LOWEST)
    slope = p * slope
    if BEST:
        slope += tl.where(hit, at_best * lift, 0.0)
    return p, slope


@triton.jit
@no_type_check
def _pull_piece(D, V, d_rows, v_rows, n, m, d_part, v_part, start, total,
                WIDTH: tl.constexpr, PIECE: tl.constexpr, PARTS: tl.constexpr, PRODUCT: tl.constexpr):  # fmt: skip
    d = tile(D, d_rows, n, start, WIDTH, PIECE)
    v = tile(V, v_rows, m, start, WIDTH, PIECE)
    d_low, v_low = d, v
    if PARTS == 2:
        d_low = tile(D + d_part, d_rows, n, start, WIDTH, PIECE)
        v_low = tile(V + v_part, v_rows, m, start, WIDTH, PIECE)
    return products(d, d_low, v, v_low, total, PARTS, PARTS, PRODUCT)


@triton.jit
@no_type_check
def _pull(D, V, d_rows, v_rows, n, m, d_part, v_part,
          WIDTH: tl.constexpr, PIECE: tl.constexpr, PARTS: tl.constexpr, PRODUCT: tl.constexpr):  # fmt: skip
    """<d_i, v_j> over values of any width, piece by piece. Unrolled, so that the loop around it is pipelined.

    With two parts it is not: that would take too much shared memory, and the loop around it is not pipelined anyhow.
    """
    total = tl.zeros([d_rows.shape[0], v_rows.shape[0]], tl.float32)
    if PARTS == 1 or WIDTH == PIECE:
        for piece in tl.static_range(WIDTH // PIECE):
            total = _pull_piece(
                D, V, d_rows, v_rows, n, m, d_part, v_part, piece * PIECE, total, WIDTH, PIECE, PARTS, PRODUCT
            )
    else:
        for start in tl.range(0, WIDTH, PIECE, num_stages=1):
            total = _pull_piece(D, V, d_rows, v_rows, n, m, d_part, v_part, start, total, WIDTH, PIECE, PARTS, PRODUCT)
    return total


@triton.jit(do_not_specialize=COUNTS)
@no_type_check
def backward_kernel(
    A, B, DA, n, m, batches, splits, scale, floor,
    V, DOut, Mass, Tilt, Warmth, AtBest, Best, BBias,
    U, DUOut, UMass, UTilt, UWarmth, UAtBest, UBest, ABias, DU, DABias, carried,
    WIDTH: tl.constexpr, CHUNK: tl.constexpr, PIECE: tl.constexpr, A_PARTS: tl.constexpr, B_PARTS: tl.constexpr,
    V_PARTS: tl.constexpr, PRODUCT: tl.constexpr, B_BIASED: tl.constexpr, A_BIASED: tl.constexpr,
    FLOORED: tl.constexpr, WARM: tl.constexpr, BEST: tl.constexpr,
    READS: tl.constexpr, VALUES: tl.constexpr, V_PIECE: tl.constexpr,
    READ: tl.constexpr, U_VALUES: tl.constexpr, U_PIECE: tl.constexpr,
    FEATURES: tl.constexpr, BIAS: tl.constexpr, CARRIED: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Grid (blocks of A x splits, batch, pieces of the features).

    READS: A [n] reads the values V of B [m]; DOut is the gradient of what it got. READ: B reads U of A, likewise.
    Makes, per split, DA of A's features, DU of CARRIED columns of U from `carried` on, and DABias of A's bias, as asked
    for by FEATURES, CARRIED and BIAS.
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
    SLOPED: tl.constexpr = FEATURES or BIAS
    lift = 1.0 * 4096
    if WHOLE:
        a = tile(A, rows, n, 0, WIDTH, WIDTH)
        a_low = a
        if A_PARTS == 2:
            a_low = tile(A + a_part, rows, n, 0, WIDTH, WIDTH)
    if READS:
        v_part, d_part = batches.to(tl.int64) * m * VALUES, batches.to(tl.int64) * n * VALUES
        V += b * m * VALUES
        DOut += b * n * VALUES
        mass = tl.load(Mass + b * n + rows, mask=inside, other=0.0)
        tilt = tl.load(Tilt + b * n + rows, mask=inside, other=0.0)
        warmth, at_best, best = tilt, tilt, rows
        if WARM:
            warmth = tl.load(Warmth + b * n + rows, mask=inside, other=0.0)
        if BEST:
            at_best = tl.load(AtBest + b * n + rows, mask=inside, other=0.0)
            best = tl.load(Best + b * n + rows, mask=inside, other=-1)
    if READ:
        u_part, du_part = batches.to(tl.int64) * n * U_VALUES, batches.to(tl.int64) * m * U_VALUES
        U += b * n * U_VALUES
        DUOut += b * m * U_VALUES
        if A_BIASED:
            a_bias = tl.load(ABias + b * n + rows, mask=inside, other=float("-inf"))
    if FEATURES:
        da = tl.zeros([ROWS, PIECE], tl.float32)
    if BIAS:
        da_bias = tl.zeros([ROWS], tl.float32)
    if CARRIED:
        du = tl.zeros([ROWS, CARRIED], tl.float32)
    share = tl.cdiv(tl.cdiv(m, COLUMNS), splits) * COLUMNS
    first = split * share
    last = tl.minimum(first + share, m)
    for start in tl.range(first, last, COLUMNS, num_stages=STAGES if WHOLE else 1):
        columns = start + tl.arange(0, COLUMNS)
        there = columns < m
        if WHOLE:
            streamed = tile(B, columns, m, 0, WIDTH, WIDTH)
            streamed_low = streamed
            if B_PARTS == 2:
                streamed_low = tile(B + b_part, columns, m, 0, WIDTH, WIDTH)
            zero = tl.zeros([ROWS, COLUMNS], tl.float32)
            s = products(a, a_low, streamed, streamed_low, zero, A_PARTS, B_PARTS, PRODUCT)
        else:
            s = chunked_products(
                A, B, rows, columns, n, m, a_part, b_part, WIDTH, CHUNK, A_PARTS, B_PARTS, PRODUCT, STAGES
            )
        if FLOORED:
            risen = s >= floor
            s = tl.maximum(s, floor)
        s = s * scale
        slope = tl.zeros([ROWS, COLUMNS], tl.float32)
        if READS and SLOPED:
            if B_BIASED:
                read = s + tl.load(BBias + b * m + columns, mask=there, other=float("-inf"))[None]
            else:
                read = tl.where(there[None], s, float("-inf"))
            dp = tl.zeros([ROWS, COLUMNS], tl.float32)
            if VALUES:
                dp = _pull(DOut, V, rows, columns, n, m, d_part, v_part, VALUES, V_PIECE, V_PARTS, PRODUCT)
            hit = columns[None] == best[:, None]
            _, own = _slope(
                read, mass[:, None], tilt[:, None], warmth[:, None], at_best[:, None], hit, lift, dp, WARM, BEST
            )
            slope += own
        if READ:
            u_mass = tl.load(UMass + b * m + columns, mask=there, other=float("inf"))
            u_tilt = tl.load(UTilt + b * m + columns, mask=there, other=0.0)
            u_warmth, u_at_best, u_best = u_tilt, u_tilt, columns
            if WARM:
                u_warmth = tl.load(UWarmth + b * m + columns, mask=there, other=0.0)
            if BEST:
                u_at_best = tl.load(UAtBest + b * m + columns, mask=there, other=0.0)
                u_best = tl.load(UBest + b * m + columns, mask=there, other=-1)
            read = s
            if A_BIASED:
                read = s + a_bias[:, None]
            dp = tl.zeros([ROWS, COLUMNS], tl.float32)
            if U_VALUES and SLOPED:
                dp = _pull(U, DUOut, rows, columns, n, m, u_part, du_part, U_VALUES, U_PIECE, V_PARTS, PRODUCT)
            hit = rows[:, None] == u_best[None]
            p, theirs = _slope(
                read, u_mass[None], u_tilt[None], u_warmth[None], u_at_best[None], hit, lift, dp, WARM, BEST
            )
            if CARRIED:
                du = carry(p, DUOut, columns, m, du_part, carried, du, U_VALUES, CARRIED, V_PARTS, PRODUCT)
            if BIAS:
                da_bias += tl.sum(theirs, 1)
            slope += theirs
        if FEATURES:
            if FLOORED:
                slope = tl.where(risen, slope, 0.0)
            if WHOLE:
                high = slope.to(streamed.dtype)
                if V_PARTS == 2:
                    da = dot((slope - high.to(tl.float32)).to(streamed.dtype), streamed, da, PRODUCT)
                    da = dot(high, streamed_low, da, PRODUCT)
                da = dot(high, streamed, da, PRODUCT)
            else:
                da = carry(slope, B, columns, m, b_part, piece, da, WIDTH, PIECE, V_PARTS, PRODUCT)
    start = (split * batches + b) * n
    if FEATURES:
        features = piece + tl.arange(0, PIECE)
        tl.store(DA + start * WIDTH + rows[:, None] * WIDTH + features[None], da, mask=inside[:, None])
    if BIAS:
        tl.store(DABias + start + rows, da_bias, mask=inside)
    if CARRIED:
        values = tl.arange(0, CARRIED)
        tl.store(DU + start * CARRIED + rows[:, None] * CARRIED + values[None], du, mask=inside[:, None])
