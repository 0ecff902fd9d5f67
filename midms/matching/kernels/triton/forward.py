"""The forward kernels: rows stay, columns stream by; the n x m matrix never exists.

Online softmax in base 2 as in FlashAttention (Dao et al. 2022, arXiv:2205.14135, alg. 1). Where rows are few, the
columns are split over several programs, whose results `combine_kernel` joins (flash decoding, Dao et al. 2023).
"""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

from midms.matching.kernels.triton.tiles import COUNTS, LIFT, LOWEST, carry, chunked_products, products, tile


@triton.jit
@no_type_check
def _row(
    Q, K, V, Units, Bias, Out, Mass, Top, Best, Spread, n, m, c, batches, b, block, split, splits, scale, floor,
    WIDTH: tl.constexpr, CHUNK: tl.constexpr, VALUES: tl.constexpr, MORE: tl.constexpr, Q_PARTS: tl.constexpr,
    K_PARTS: tl.constexpr, V_PARTS: tl.constexpr, PRODUCT: tl.constexpr, BIASED: tl.constexpr, FLOORED: tl.constexpr,
    ARGMAX: tl.constexpr, ENTROPY: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """One block of rows against one share of the columns; logits are in base 2, `floor` in units of the products."""
    rows = block * ROWS + tl.arange(0, ROWS)
    batches = batches.to(tl.int64)
    q_part, k_part, v_part = batches * n * WIDTH, batches * m * WIDTH, batches * m * (VALUES + MORE)
    Q += b * n * WIDTH
    K += b * m * WIDTH
    V += b * m * (VALUES + MORE)
    WHOLE: tl.constexpr = CHUNK == WIDTH
    if WHOLE:
        q = tile(Q, rows, n, 0, WIDTH, WIDTH)
        q_low = q
        if Q_PARTS == 2:
            q_low = tile(Q + q_part, rows, n, 0, WIDTH, WIDTH)
    top = tl.full([ROWS], LOWEST, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    energy = tl.zeros([ROWS], tl.float32)
    best = tl.zeros([ROWS], tl.int32)
    if VALUES:
        out = tl.zeros([ROWS, VALUES], tl.float32)
    if MORE:
        more = tl.zeros([ROWS, MORE], tl.float32)
    share = tl.cdiv(tl.cdiv(m, COLUMNS), splits) * COLUMNS
    first = split * share
    last = tl.minimum(first + share, m)
    for start in tl.range(first, last, COLUMNS, num_stages=STAGES if WHOLE else 1):
        columns = start + tl.arange(0, COLUMNS)
        if WHOLE:
            k = tile(K, columns, m, 0, WIDTH, WIDTH)
            k_low = k
            if K_PARTS == 2:
                k_low = tile(K + k_part, columns, m, 0, WIDTH, WIDTH)
            s = products(q, q_low, k, k_low, tl.zeros([ROWS, COLUMNS], tl.float32), Q_PARTS, K_PARTS, PRODUCT)
        else:
            s = chunked_products(
                Q, K, rows, columns, n, m, q_part, k_part, WIDTH, CHUNK, Q_PARTS, K_PARTS, PRODUCT, STAGES
            )
        if FLOORED:
            s = tl.maximum(s, floor)
        s = s * scale
        if BIASED:
            s += tl.load(Bias + b * m + columns, mask=columns < m, other=float("-inf"))[None]
        else:
            s = tl.where((columns < m)[None], s, float("-inf"))
        here = tl.max(s, 1)
        if ARGMAX:
            where = tl.min(tl.where(s == here[:, None], columns[None], 2147483647), 1)
            best = tl.where(here > top, where, best)
        higher = tl.maximum(top, here)
        kept = tl.exp2(top - higher)
        weights = tl.exp2(s - (higher - LIFT)[:, None])
        if ENTROPY:
            below = tl.maximum(s - higher[:, None], LOWEST)
            energy = kept * (energy + total * (top - higher)) + tl.sum(weights * below, 1)
        if VALUES and V_PARTS == 1:
            weights = weights.to(V.dtype.element_ty).to(tl.float32)
        total = total * kept + tl.sum(weights, 1)
        if VALUES:
            out = carry(weights, V, columns, m, v_part, 0, out * kept[:, None], VALUES + MORE, VALUES, V_PARTS, PRODUCT)
        if MORE:
            more = carry(
                weights, V, columns, m, v_part, VALUES, more * kept[:, None], VALUES + MORE, MORE, V_PARTS, PRODUCT
            )
        top = higher
    given = total > 0
    total = tl.where(given, total, 1)
    log_total = tl.log2(total)
    at = (split * batches + b) * n + rows
    inside = rows < n
    tl.store(Mass + at, tl.where(given, top + log_total - LIFT, float("-inf")), mask=inside)
    if ARGMAX:
        tl.store(Top + at, top, mask=inside)
        tl.store(Best + at, best, mask=inside)
    if ENTROPY:
        tl.store(Spread + at, log_total - LIFT - energy / total, mask=inside)
    Out += (split * batches + b) * n * c
    if VALUES:
        _store(Out, Units + b * c, out / total[:, None], rows, inside, c, 0, VALUES)
    if MORE:
        _store(Out, Units + b * c, more / total[:, None], rows, inside, c, VALUES, MORE)


@triton.jit
@no_type_check
def _store(Out, Units, out, rows, inside, c, start: tl.constexpr, WIDTH: tl.constexpr):
    values = start + tl.arange(0, WIDTH)
    shown = values < c
    units = tl.load(Units + values, mask=shown, other=1.0)
    tl.store(Out + rows[:, None] * c + values[None], out * units[None], mask=inside[:, None] & shown[None])


@triton.jit(do_not_specialize=COUNTS)
@no_type_check
def couple_kernel(
    Q, K, V, Units, Bias, Out, Mass, Top, Best, Spread, c,
    U, UUnits, UBias, UOut, UMass, UTop, UBest, USpread, e,
    n, m, batches, splits, u_splits, scale, floor,
    WIDTH: tl.constexpr, CHUNK: tl.constexpr, VALUES: tl.constexpr, MORE: tl.constexpr, ROW_PARTS: tl.constexpr,
    COLUMN_PARTS: tl.constexpr, V_PARTS: tl.constexpr, PRODUCT: tl.constexpr, BIASED: tl.constexpr,
    FLOORED: tl.constexpr, ARGMAX: tl.constexpr, ENTROPY: tl.constexpr, BOTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Grid (blocks of rows x splits [+ the same of columns], batch). BOTH: columns read the rows in the same launch.

    Outputs are [splits, batch, n(, c)], each split's normalised by itself: Out, Mass and Spread (entropy) in base 2,
    Top the largest logit, Best where it is.
    """
    program = tl.program_id(0)
    b = tl.program_id(1).to(tl.int64)
    if BOTH:
        forth = tl.cdiv(n, ROWS) * splits
        if program >= forth:
            program -= forth
            Q, K, V, Units, Bias = K, Q, U, UUnits, UBias
            Out, Mass, Top, Best, Spread = UOut, UMass, UTop, UBest, USpread
            n, m, c, splits = m, n, e, u_splits
    _row(
        Q, K, V, Units, Bias, Out, Mass, Top, Best, Spread, n, m, c, batches, b, program // splits, program % splits,
        splits, scale, floor, WIDTH, CHUNK, VALUES, MORE, ROW_PARTS, COLUMN_PARTS, V_PARTS, PRODUCT, BIASED,
        FLOORED, ARGMAX, ENTROPY, ROWS, COLUMNS, STAGES,
    )  # fmt: skip


@triton.jit(do_not_specialize=COUNTS)
@no_type_check
def masses_kernel(
    Q, K, RowBias, ColumnBias, Mass, UMass, n, m, batches, splits, scale, floor,
    WIDTH: tl.constexpr, CHUNK: tl.constexpr, PARTS: tl.constexpr, PRODUCT: tl.constexpr, BIASED: tl.constexpr,
    FLOORED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Both directions' logsumexp in base 2 from one product, as a symmetric Sinkhorn step wants them.

    Mass [splits, batch, n] is the rows', with ColumnBias; UMass [blocks of rows, batch, m] the columns', with RowBias.
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
        q = tile(Q, rows, n, 0, WIDTH, WIDTH)
        q_low = q
        if PARTS == 2:
            q_low = tile(Q + q_part, rows, n, 0, WIDTH, WIDTH)
    row_bias = tl.where(inside, 0.0, float("-inf"))
    if BIASED:
        row_bias = tl.load(RowBias + b * n + rows, mask=inside, other=float("-inf"))
    top = tl.full([ROWS], LOWEST, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    share = tl.cdiv(tl.cdiv(m, COLUMNS), splits) * COLUMNS
    first = split * share
    last = tl.minimum(first + share, m)
    for start in tl.range(first, last, COLUMNS, num_stages=STAGES if WHOLE else 1):
        columns = start + tl.arange(0, COLUMNS)
        there = columns < m
        if WHOLE:
            k = tile(K, columns, m, 0, WIDTH, WIDTH)
            k_low = k
            if PARTS == 2:
                k_low = tile(K + k_part, columns, m, 0, WIDTH, WIDTH)
            s = products(q, q_low, k, k_low, tl.zeros([ROWS, COLUMNS], tl.float32), PARTS, PARTS, PRODUCT)
        else:
            s = chunked_products(Q, K, rows, columns, n, m, q_part, k_part, WIDTH, CHUNK, PARTS, PARTS, PRODUCT, STAGES)
        if FLOORED:
            s = tl.maximum(s, floor)
        s = s * scale
        column_bias = tl.where(there, 0.0, float("-inf"))
        if BIASED:
            column_bias = tl.load(ColumnBias + b * m + columns, mask=there, other=float("-inf"))
        read = s + column_bias[None]
        higher = tl.maximum(top, tl.max(read, 1))
        total = total * tl.exp2(top - higher) + tl.sum(tl.exp2(read - higher[:, None]), 1)
        top = higher
        read = s + row_bias[:, None]
        highest = tl.maximum(tl.max(read, 0), LOWEST)
        mass = highest + tl.log2(tl.sum(tl.exp2(read - highest[None]), 0))
        tl.store(UMass + (block * batches + b) * m + columns, mass, mask=there)
    at = (split * batches + b) * n + rows
    tl.store(Mass + at, tl.where(total > 0, top + tl.log2(total), float("-inf")), mask=inside)


@triton.jit(do_not_specialize=COUNTS)
@no_type_check
def combine_kernel(
    Out, Mass, Top, Best, Spread, Whole, WholeMass, WholeTop, WholeBest, WholeSpread, splits, tokens, c,
    ARGMAX: tl.constexpr, ENTROPY: tl.constexpr, ROWS: tl.constexpr, VALUES: tl.constexpr,
):  # fmt: skip
    """Joins splits: [splits, tokens(, c)] to [tokens(, c)]. Grid (blocks of tokens, pieces of values, at least one)."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    values = tl.program_id(1) * VALUES + tl.arange(0, VALUES)
    inside = rows < tokens
    shown = inside[:, None] & (values < c)[None]
    top = tl.full([ROWS], LOWEST, tl.float32)
    for split in tl.range(0, splits):
        top = tl.maximum(top, tl.load(Mass + split * tokens + rows, mask=inside, other=0.0))
    total = tl.zeros([ROWS], tl.float32)
    spread = tl.zeros([ROWS], tl.float32)
    out = tl.zeros([ROWS, VALUES], tl.float32)
    highest = tl.full([ROWS], float("-inf"), tl.float32)
    best = tl.zeros([ROWS], tl.int32)
    for split in tl.range(0, splits):
        at = split * tokens + rows
        mass = tl.load(Mass + at, mask=inside, other=0.0)
        weight = tl.exp2(mass - top)
        total += weight
        out += weight[:, None] * tl.load(Out + at[:, None] * c + values[None], mask=shown, other=0.0)
        if ENTROPY:
            own = tl.load(Spread + at, mask=inside, other=0.0)
            spread += tl.where(weight > 0, weight * (own - tl.maximum(mass - top, LOWEST)), 0)
        if ARGMAX:
            here = tl.load(Top + at, mask=inside, other=0.0)
            best = tl.where(here > highest, tl.load(Best + at, mask=inside, other=0), best)
            highest = tl.maximum(here, highest)
    tl.store(Whole + rows[:, None] * c + values[None], out / total[:, None], mask=shown)
    if tl.program_id(1) == 0:
        tl.store(WholeMass + rows, top + tl.log2(total), mask=inside)
        if ENTROPY:
            tl.store(WholeSpread + rows, spread / total + tl.log2(total), mask=inside)
        if ARGMAX:
            tl.store(WholeTop + rows, highest, mask=inside)
            tl.store(WholeBest + rows, best, mask=inside)
