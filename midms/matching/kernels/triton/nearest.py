"""Best columns of each row: the kernels, their launches, the operator.

A first pass at the asked precision keeps some columns, float32 ranks them; rows in doubt have a second, exact pass.
"""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from midms.matching.kernels.triton.configs import ALONE, FUSED, PRODUCTS, choose
from midms.matching.kernels.triton.options import splits_of
from midms.matching.kernels.triton.pack import pack_features
from midms.matching.kernels.triton.tiles import COUNTS, both_parts, chunked_products, share_of_columns, tile_products

SPARE = 3
"""Columns kept beyond those asked for, so that near ties do not call for a second pass."""

SUMMED = 2.0**-16
"""Bound on what summing float32 terms adds to an inner product of unit vectors."""


@triton.jit
@no_type_check
def _enter(s, columns, score, index, slots):
    """The largest of each row of s [ROWS, COLUMNS] replaces the lowest of score [ROWS, KEEP], if that is lower."""
    here = tl.max(s, 1)
    where = tl.min(tl.where(s == here[:, None], columns[None], 2147483647), 1)
    lowest = tl.min(score, 1)
    slot = tl.min(tl.where(score == lowest[:, None], slots[None], slots.shape[0]), 1)
    enters = (slots[None] == slot[:, None]) & (here > lowest)[:, None]
    score = tl.where(enters, here[:, None], score)
    index = tl.where(enters, where[:, None], index)
    return tl.where(columns[None] == where[:, None], float("-inf"), s), score, index


@triton.jit(do_not_specialize=COUNTS)
@no_type_check
def nearest_kernel(
    Q, K, Score, Index, Doubt, n, m, batches, splits,
    WIDTH: tl.constexpr, CHUNK: tl.constexpr, PARTS: tl.constexpr, PRODUCT: tl.constexpr, KEEP: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """The KEEP largest products of each row with each share of the columns, in no order; -inf and -1 for none.

    Q [PARTS, batch, n, WIDTH] and K [PARTS, batch, m, WIDTH] are packed; Score and Index are [batch, n, splits, KEEP].
    Only blocks of rows that are in doubt, Doubt [batch, blocks], are computed. Grid (blocks x splits, batch).
    """
    block = tl.program_id(0) // splits
    split = tl.program_id(0) % splits
    b = tl.program_id(1).to(tl.int64)
    doubt = tl.load(Doubt + b * tl.cdiv(n, ROWS) + block) != 0
    rows = block * ROWS + tl.arange(0, ROWS)
    q_part, k_part = batches.to(tl.int64) * n * WIDTH, batches.to(tl.int64) * m * WIDTH
    Q += b * n * WIDTH
    K += b * m * WIDTH
    WHOLE: tl.constexpr = CHUNK == WIDTH
    if WHOLE:
        q, q_low = both_parts(Q, rows, n, q_part, 0, WIDTH, WIDTH, PARTS)
    slots = tl.arange(0, KEEP)
    score = tl.full([ROWS, KEEP], float("-inf"), tl.float32)
    index = tl.full([ROWS, KEEP], -1, tl.int32)
    first, last = share_of_columns(split, splits, m, COLUMNS)
    last = tl.where(doubt, last, first)
    for start in tl.range(first, last, COLUMNS, num_stages=STAGES if WHOLE else 1):
        columns = start + tl.arange(0, COLUMNS)
        if WHOLE:
            k, k_low = both_parts(K, columns, m, k_part, 0, WIDTH, WIDTH, PARTS)
            s = tile_products(q, q_low, k, k_low, tl.zeros([ROWS, COLUMNS], tl.float32), PARTS, PARTS, PRODUCT)
        else:
            s = chunked_products(Q, K, rows, columns, n, m, q_part, k_part, WIDTH, CHUNK, PARTS, PARTS, PRODUCT, STAGES)
        s = tl.where((columns < m)[None], s, float("-inf"))
        if KEEP <= 8:
            for _ in tl.static_range(KEEP):
                s, score, index = _enter(s, columns, score, index, slots)
        else:
            for _ in tl.range(0, KEEP, num_stages=1):
                s, score, index = _enter(s, columns, score, index, slots)
    at = (((b * n + rows) * splits + split) * KEEP)[:, None] + slots[None]
    shown = (rows < n)[:, None] & doubt
    tl.store(Score + at, score, mask=shown)
    tl.store(Index + at, index, mask=shown)


@triton.jit
@no_type_check
def rescore_kernel(Q, K, Index, Score, n, m, d, kept, PIECE: tl.constexpr, ROWS: tl.constexpr):
    """Float32 products of q [batch, n, d] with the columns Index [batch, n, kept] of k. Grid (blocks, kept, batch)."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    b = tl.program_id(2).to(tl.int64)
    inside = rows < n
    at = (b * n + rows) * kept + tl.program_id(1)
    column = tl.load(Index + at, mask=inside, other=-1)
    there = column >= 0
    total = tl.zeros([ROWS], tl.float32)
    for start in tl.range(0, d, PIECE):
        channels = start + tl.arange(0, PIECE)
        shown = there[:, None] & (channels < d)[None]
        q = tl.load(Q + (b * n + rows)[:, None] * d + channels[None], mask=shown, other=0.0).to(tl.float32)
        k = tl.load(K + (b * m + column)[:, None] * d + channels[None], mask=shown, other=0.0).to(tl.float32)
        total += tl.sum(q * k, 1)
    tl.store(Score + at, tl.where(there, total, float("-inf")), mask=inside)


def best_columns(q: Tensor, k: Tensor, count: int, precision: str) -> tuple[Tensor, Tensor]:
    """[b n count] float32 products and columns, best first, the first of equals.

    A first pass's products are off by at most |q - q'| |k| + |q'| |k - k'|, where q', k' are rounded. If the last of
    the best, ranked in float32, is above the lowest that the first pass kept by more than that, none was missed; the
    rows of which this cannot be said are computed again as precisely as in float32.
    """
    q, k = q.float().contiguous(), k.float().contiguous()
    b, n, m = len(q), q.shape[1], k.shape[1]
    keep = triton.next_power_of_2(min(count + SPARE, max(m, count)))
    shape = choose(ALONE, precision, q.device, 0, b * n)
    everywhere = torch.ones(b, triton.cdiv(n, shape.rows), dtype=torch.int32, device=q.device)
    scores, indices, missed = _pass(q, k, count, keep, precision, everywhere)
    if PRODUCTS[precision].parts == 2 or precision == "ieee" or keep >= m:
        return scores, indices
    bound = _rounding(q, k, precision)
    doubtful = ~(scores[..., -1] > missed + bound)
    fine = choose(ALONE, "fp16x3", q.device, 0, b * n)
    blocks = torch.nn.functional.pad(doubtful, (0, -n % fine.rows)).unflatten(1, (-1, fine.rows)).any(2).int()
    again, columns, _ = _pass(q, k, count, keep, "fp16x3", blocks)
    return torch.where(doubtful[..., None], again, scores), torch.where(doubtful[..., None], columns, indices)


def _pass(q: Tensor, k: Tensor, count: int, keep: int, precision: str, doubt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The best of those that one pass kept, and [b n] the lowest product, at its precision, that it kept."""
    (b, n, d), m, spec = q.shape, k.shape[1], PRODUCTS[precision]
    shape = choose(ALONE, precision, q.device, 0, b * n)
    rows, columns = pack_features(q, spec, spec.parts), pack_features(k, spec, spec.parts)
    width = rows.shape[3]
    splits = splits_of(b, n, m, shape, q.device)
    scores = torch.full((b, n, splits, keep), -torch.inf, device=q.device)
    indices = torch.full((b, n, splits, keep), -1, dtype=torch.int32, device=q.device)
    nearest_kernel[(triton.cdiv(n, shape.rows) * splits, b)](
        rows, columns, scores, indices, doubt, n, m, b, splits,
        WIDTH=width, CHUNK=shape.chunk_of(width), PARTS=spec.parts, PRODUCT=spec.product, KEEP=keep,
        ROWS=shape.rows, COLUMNS=shape.columns, STAGES=shape.stages, num_warps=shape.warps, **FUSED,
    )  # fmt: skip
    missed = scores.amin(3).amax(2)
    indices = indices.flatten(2).sort(-1).values  # so that of equals the first column comes first
    exact = torch.empty_like(indices, dtype=torch.float32)
    rescore_kernel[(triton.cdiv(n, 32), splits * keep, b)](
        q, k, indices, exact, n, m, d, splits * keep, PIECE=min(128, triton.next_power_of_2(d)), ROWS=32, **FUSED
    )
    exact, order = exact.sort(dim=-1, descending=True, stable=True)
    return exact[..., :count], indices.gather(-1, order)[..., :count].long(), missed


def _rounding(q: Tensor, k: Tensor, precision: str) -> Tensor:
    """[b n] a bound on the rounding of a first pass's products."""
    operand = PRODUCTS[precision].operand
    (q_length, q_rest), (k_length, k_rest) = (
        [torch.linalg.vector_norm(y, dim=-1) for y in (x, x - x.to(operand).float())] for x in (q, k)
    )
    longest, largest = k_length.amax(1, keepdim=True), k_rest.amax(1, keepdim=True)
    return q_rest * longest + (q_length + q_rest) * largest + SUMMED * q_length * longest


@torch.library.custom_op(
    "midms::nearest", mutates_args=(), schema="(Tensor q, Tensor k, int count, str precision) -> (Tensor, Tensor)"
)
def nearest(q: Tensor, k: Tensor, count: int, precision: str) -> tuple[Tensor, Tensor]:
    """`best_columns` as an operator of torch."""
    scores, columns = best_columns(q, k, count, precision)
    return scores.contiguous(), columns.contiguous()


@nearest.register_fake
def _(q: Tensor, k: Tensor, count: int, precision: str) -> tuple[Tensor, Tensor]:
    shape = (*q.shape[:2], count)
    return q.new_empty(shape, dtype=torch.float32), q.new_empty(shape, dtype=torch.long)
