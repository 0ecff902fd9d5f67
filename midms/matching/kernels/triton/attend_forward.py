"""Attention, forward: the kernel and its launch. Rows stay, columns stream by; the n x m matrix never exists.

Online softmax in base 2 as in FlashAttention (Dao et al. 2022, arXiv:2205.14135, alg. 1). Where rows are few, the
columns are split over several programs, whose results `combine` joins (flash decoding, Dao et al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import no_type_check

import torch
import triton
import triton.language as tl

from midms.matching.kernels.triton.combine import Result, combined, empty_result
from midms.matching.kernels.triton.configs import FORWARD, FUSED, Tile, choose
from midms.matching.kernels.triton.logsumexp import logsumexp_both
from midms.matching.kernels.triton.options import Direction, Options, bias_of, splits_of
from midms.matching.kernels.triton.pack import pack, padded_values, value_scales
from midms.matching.kernels.triton.tiles import (
    COUNTS,
    LIFT,
    LOWEST,
    add_weighted,
    both_parts,
    chunked_products,
    share_of_columns,
    tile_products,
)
from midms.matching.kernels.triton.tuning import tuned


@triton.jit
@no_type_check
def _row(
    Q, K, V, Scales, Bias, Out, Lse, Top, Best, Entropy, n, m, c, batches, b, block, split, splits, scale, floor,
    WIDTH: tl.constexpr, CHUNK: tl.constexpr, VALUES: tl.constexpr, MORE: tl.constexpr, Q_PARTS: tl.constexpr,
    K_PARTS: tl.constexpr, V_PARTS: tl.constexpr, PRODUCT: tl.constexpr, BIASED: tl.constexpr, FLOORED: tl.constexpr,
    ARGMAX: tl.constexpr, ENTROPY: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Attention of one block of rows over one share of the columns, by an online softmax in base 2.

    Q [parts, batch, n, WIDTH], K [parts, batch, m, WIDTH], V [parts, batch, m, VALUES + MORE] are packed, Bias
    [batch, m] is in base 2, `floor` in units of the packed products. Writes Out, Lse, Top, Best, Entropy as in
    `combine.Result`, at place `split` of their first axis; Out is multiplied by Scales [batch, c].
    """
    rows = block * ROWS + tl.arange(0, ROWS)
    batches = batches.to(tl.int64)
    q_part, k_part, v_part = batches * n * WIDTH, batches * m * WIDTH, batches * m * (VALUES + MORE)
    Q += b * n * WIDTH
    K += b * m * WIDTH
    V += b * m * (VALUES + MORE)
    WHOLE: tl.constexpr = CHUNK == WIDTH
    if WHOLE:
        q, q_low = both_parts(Q, rows, n, q_part, 0, WIDTH, WIDTH, Q_PARTS)
    top = tl.full([ROWS], LOWEST, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    energy = tl.zeros([ROWS], tl.float32)
    best = tl.zeros([ROWS], tl.int32)
    if VALUES:
        out = tl.zeros([ROWS, VALUES], tl.float32)
    if MORE:
        more = tl.zeros([ROWS, MORE], tl.float32)
    first, last = share_of_columns(split, splits, m, COLUMNS)
    for start in tl.range(first, last, COLUMNS, num_stages=STAGES if WHOLE else 1):
        columns = start + tl.arange(0, COLUMNS)
        if WHOLE:
            k, k_low = both_parts(K, columns, m, k_part, 0, WIDTH, WIDTH, K_PARTS)
            s = tile_products(q, q_low, k, k_low, tl.zeros([ROWS, COLUMNS], tl.float32), Q_PARTS, K_PARTS, PRODUCT)
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
            out = add_weighted(
                weights, V, columns, m, v_part, 0, out * kept[:, None], VALUES + MORE, VALUES, V_PARTS, PRODUCT
            )
        if MORE:
            more = add_weighted(
                weights, V, columns, m, v_part, VALUES, more * kept[:, None], VALUES + MORE, MORE, V_PARTS, PRODUCT
            )
        top = higher
    any_column = total > 0
    total = tl.where(any_column, total, 1)
    log_total = tl.log2(total)
    at = (split * batches + b) * n + rows
    inside = rows < n
    tl.store(Lse + at, tl.where(any_column, top + log_total - LIFT, float("-inf")), mask=inside)
    if ARGMAX:
        tl.store(Top + at, top, mask=inside)
        tl.store(Best + at, best, mask=inside)
    if ENTROPY:
        tl.store(Entropy + at, log_total - LIFT - energy / total, mask=inside)
    Out += (split * batches + b) * n * c
    if VALUES:
        _store(Out, Scales + b * c, out / total[:, None], rows, inside, c, 0, VALUES)
    if MORE:
        _store(Out, Scales + b * c, more / total[:, None], rows, inside, c, VALUES, MORE)


@triton.jit
@no_type_check
def _store(Out, Scales, out, rows, inside, c, start: tl.constexpr, WIDTH: tl.constexpr):
    """Out [n, c] at columns start to start + WIDTH becomes out [rows, WIDTH] times Scales [c]."""
    values = start + tl.arange(0, WIDTH)
    shown = values < c
    value_scales = tl.load(Scales + values, mask=shown, other=1.0)
    tl.store(Out + rows[:, None] * c + values[None], out * value_scales[None], mask=inside[:, None] & shown[None])


@triton.jit(do_not_specialize=COUNTS)
@no_type_check
def attend_kernel(
    Q, K, V, Scales, Bias, Out, Lse, Top, Best, Entropy, c,
    U, UScales, UBias, UOut, ULse, UTop, UBest, UEntropy, e,
    n, m, batches, splits, u_splits, scale, floor,
    WIDTH: tl.constexpr, CHUNK: tl.constexpr, VALUES: tl.constexpr, MORE: tl.constexpr, ROW_PARTS: tl.constexpr,
    COLUMN_PARTS: tl.constexpr, V_PARTS: tl.constexpr, PRODUCT: tl.constexpr, BIASED: tl.constexpr,
    FLOORED: tl.constexpr, ARGMAX: tl.constexpr, ENTROPY: tl.constexpr, BOTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """softmax(scale * max(Q K^T, floor) + Bias) V for the rows; with BOTH also K's attention over Q, values U, UBias.

    Results are those of `combine.Result`, [splits, batch, n(, c)], each share normalised by itself; those of the other
    direction, [u_splits, batch, m(, e)], have a U before their names. Grid (blocks of rows x splits, with BOTH and then
    blocks of columns x u_splits, batch).
    """
    program = tl.program_id(0)
    b = tl.program_id(1).to(tl.int64)
    if BOTH:
        forth = tl.cdiv(n, ROWS) * splits
        if program >= forth:
            program -= forth
            Q, K, V, Scales, Bias = K, Q, U, UScales, UBias
            Out, Lse, Top, Best, Entropy = UOut, ULse, UTop, UBest, UEntropy
            n, m, c, splits = m, n, e, u_splits
    _row(
        Q, K, V, Scales, Bias, Out, Lse, Top, Best, Entropy, n, m, c, batches, b, program // splits, program % splits,
        splits, scale, floor, WIDTH, CHUNK, VALUES, MORE, ROW_PARTS, COLUMN_PARTS, V_PARTS, PRODUCT, BIASED,
        FLOORED, ARGMAX, ENTROPY, ROWS, COLUMNS, STAGES,
    )  # fmt: skip


def forward(options: Options, directions: Sequence[Direction]) -> list[Result]:
    """The result of each direction, in one launch where a tile holds the values of both."""
    reader = directions[0].reader
    widths = [direction.values.shape[2] for direction in directions]
    statistics = options.argmax or options.entropy
    tile = choose(FORWARD, options.precision, reader.device, max(widths), reader.shape[1] * reader.shape[2], statistics)
    if len(directions) == 2 and (max(widths) > tile.values or max(widths) - min(widths) > 64):
        return [*forward(options, directions[:1]), *forward(options, directions[1:])]
    spec = options.spec
    if len(directions) == 2 and not max(widths) and not statistics and spec.row_parts == spec.column_parts:
        return logsumexp_both(options, directions)
    if max(widths) > tile.values:
        (direction,) = directions
        first, rest = direction.values.split([tile.values, widths[0] - tile.values], 2)
        (result,) = forward(options, [direction._replace(values=first)])
        (others,) = forward(Options(options.scale, options.floor, options.precision), [direction._replace(values=rest)])
        return [result._replace(values=torch.cat([result.values, others.values], 2))]
    key = options, reader.shape, *(direction.source.shape + direction.values.shape for direction in directions)
    return _launch(options, directions, tuned(key, tile, reader.device, partial(_launch, options, directions)))


def buckets(width: int) -> tuple[int, int]:
    """The widths of the two pieces that a launch's values are cut into, each a power of two: 160 is 128 and 32."""
    return (128, padded_values(width - 128)) if width > 128 else (padded_values(width), 0)


def constants(
    options: Options, width: int, pieces: tuple[int, int], tile: Tile, biased: bool, both: bool
) -> dict[str, object]:
    """The constexpr arguments of `attend_kernel`."""
    spec = options.spec
    return {
        "WIDTH": width, "CHUNK": tile.chunk_of(width), "VALUES": pieces[0], "MORE": pieces[1],
        "ROW_PARTS": spec.row_parts, "COLUMN_PARTS": spec.column_parts, "V_PARTS": spec.value_parts,
        "PRODUCT": spec.product, "BIASED": biased, "FLOORED": options.floor is not None,
        "ARGMAX": options.argmax, "ENTROPY": options.entropy, "BOTH": both,
        "ROWS": tile.rows, "COLUMNS": tile.columns, "STAGES": tile.stages,
    }  # fmt: skip


def _launch(options: Options, directions: Sequence[Direction], tile: Tile) -> list[Result]:
    """Pack the values, run the kernel for one or both directions, and join the shares of the columns."""
    _, batches, n, width = directions[0].reader.shape
    m, spec = directions[0].source.shape[2], options.spec
    pieces = max((buckets(direction.values.shape[2]) for direction in directions), key=sum)
    biased = any(direction.bias is not None for direction in directions)
    parts, sides, programs, shares = [], [], 0, []
    for direction in directions:
        tokens, others, c = direction.reader.shape[2], direction.source.shape[2], direction.values.shape[2]
        splits = splits_of(batches * len(directions), tokens, others, tile, direction.reader.device)
        value_scale = value_scales(direction.values, spec)
        values = pack(
            direction.values / value_scale[:, None], options.spec.operand, options.spec.value_parts, sum(pieces)
        )
        part = empty_result(direction.reader, (splits, batches, tokens), c, options)
        sides.append((values, value_scale, bias_of(direction, biased), *part, c))
        parts.append(part)
        shares.append(splits)
        programs += splits * triton.cdiv(tokens, tile.rows)
    scale, floor = options.numbers
    attend_kernel[(programs, batches)](
        directions[0].reader, directions[0].source, *sides[0], *sides[-1],
        n, m, batches, shares[0], shares[-1], scale, floor,
        **constants(options, width, pieces, tile, biased, len(directions) == 2), num_warps=tile.warps, **FUSED,
    )  # fmt: skip
    return [combined(part, options) for part in parts]
