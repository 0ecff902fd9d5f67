"""The slices of `chunked`, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SLICE_ENTRIES = {"cpu": 1 << 20, "cuda": 1 << 26}
"""Entries of the matrix held at once, over the batch: what a core's cache holds, or what fills a GPU. Both directions
hold three such slices, the backward pass four."""

LOG2E, LN2 = math.log2(math.e), math.log(2)
LOWEST = -1e30
"""Below every logit but those of a column that takes no part."""


def slices(batch: int, rows: int, columns: int, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Whole samples while they fit in `SLICE_ENTRIES`, else some rows of one sample."""
    entries = SLICE_ENTRIES.get(device.type, SLICE_ENTRIES["cuda"])
    samples = min(batch, max(1, entries // (rows * columns)))
    height = min(rows, max(1, entries // (samples * columns)))
    for sample in range(0, batch, samples):
        for row in range(0, rows, height):
            yield slice(sample, min(sample + samples, batch)), slice(row, min(row + height, rows))


def products(q: Tensor, k: Tensor, batch: slice, rows: slice) -> Tensor:
    """A slice of the inner products of q [b d n] and k [b d m]."""
    return torch.bmm(q[batch, :, rows].mT, k[batch])


class Logits(NamedTuple):
    """The logits of q [b d n] and k [b d m] in base 2, any slice of them."""

    q: Tensor
    k: Tensor
    row_bias: Tensor | None
    col_bias: Tensor | None
    scale: float
    floor: float | None

    def slices(self) -> Iterator[tuple[slice, slice]]:
        """See `slices`."""
        return slices(len(self.q), self.q.shape[2], self.k.shape[2], self.q.device)

    def unbiased(self, batch: slice, part: slice) -> Tensor:
        """[b r m], before the floor too."""
        return torch.bmm((self.q[batch, :, part] * (self.scale * LOG2E)).mT, self.k[batch])

    def raised_(self, logits: Tensor) -> Tensor:
        """With the floor, in place."""
        return logits if self.floor is None else logits.clamp_(min=self.floor * self.scale * LOG2E)

    def of_rows(self, logits: Tensor, batch: slice) -> Tensor:
        """What the rows read."""
        return logits if self.col_bias is None else torch.add(logits, self.col_bias[batch, None], alpha=LOG2E)

    def of_columns(self, logits: Tensor, batch: slice, part: slice) -> Tensor:
        """What the columns read."""
        return logits if self.row_bias is None else torch.add(logits, self.row_bias[batch, part, None], alpha=LOG2E)


class Side(NamedTuple):
    """What one direction has read.

    Attributes:
        top: [b n] base-2 shift of its weights, exp2(logit - top).
        total: [b n] sum of the weights.
        out: [b c n] the values carried.
        expected: [b n] the expected logit in nats, if asked for.
        argmax: [b n], if asked for.
    """

    top: Tensor
    total: Tensor
    out: Tensor
    expected: Tensor | None
    argmax: Tensor | None

    def results(self, also: tuple[str, ...]) -> tuple[Tensor | None, ...]:
        """Values, mass, peak, argmax, entropy."""
        mass = self.total.log2().add_(self.top).mul_(LN2)
        return (
            self.out,
            mass,
            self.total.reciprocal() if "peak" in also else None,
            self.argmax if "argmax" in also else None,
            None if self.expected is None else mass - self.expected,
        )


class Sums:
    """One direction's sums over the slices seen so far."""

    def __init__(self, like: Tensor, values: Tensor, also: tuple[str, ...]) -> None:
        b, _, n = like.shape
        self.values = with_ones(values)
        self.top = like.new_full((b, n), LOWEST)
        self.sums = like.new_zeros(b, self.values.shape[1], n)
        self.energy = like.new_zeros(b, n) if "entropy" in also else None
        ranked = "peak" in also or "argmax" in also
        self.argmax = torch.zeros(b, n, dtype=torch.long, device=like.device) if ranked else None

    def settle(self, logits: Tensor, batch: slice, part: slice) -> None:
        """All that some rows read: logits [b r m]."""
        if self.argmax is None:
            top = logits.amax(-1)
        else:
            top, self.argmax[batch, part] = logits.max(-1)
        weights = (logits - top[..., None]).exp2_()
        self.top[batch, part] = top
        self.sums[batch, :, part] = torch.bmm(self.values[batch], weights.mT)
        if self.energy is not None:
            self.energy[batch, part] = _energy(logits, weights, -1)

    def add(self, logits: Tensor, batch: slice, part: slice) -> None:
        """What all columns read of some rows: logits [b r m]."""
        before = self.top[batch]
        if self.argmax is None:
            highest = logits.amax(1)
        else:
            highest, where = logits.max(1)
            self.argmax[batch] = torch.where(highest > before, where + part.start, self.argmax[batch])
        top = torch.maximum(before, highest)
        kept = (before - top).exp2_()
        weights = (logits - top[:, None]).exp2_()
        self.sums[batch] = torch.baddbmm(self.sums[batch].mul_(kept[:, None]), self.values[batch, :, part], weights)
        if self.energy is not None:
            self.energy[batch] = self.energy[batch].mul_(kept) + _energy(logits, weights, 1)
        self.top[batch] = top

    def side(self) -> Side:
        """When all is seen."""
        total = self.sums[:, -1].clone()
        expected = None if self.energy is None else self.energy.div_(total).mul_(LN2)
        return Side(self.top, total, self.sums[:, :-1].div_(total[:, None]), expected, self.argmax)


class Pull:
    """One direction's gradients: d logit = P * (<d out, v> + tilt - d entropy * logit), and at its best column more.

    That the weights are exp2(logit - top) = P * total is taken care of once, in what they are multiplied by.
    """

    def __init__(self, side: Side, values: Tensor, gradients: tuple[Tensor | None, ...]) -> None:
        d_out, d_mass, d_peak, _, d_entropy = gradients
        self.side, self.values = side, with_ones(values)
        tilt = torch.zeros_like(side.top) if d_mass is None else d_mass
        if d_entropy is not None and side.expected is not None:
            tilt = tilt + d_entropy * side.expected
        self.warmth = None if d_entropy is None else -LN2 * d_entropy / side.total
        self.at_best = None if d_peak is None else d_peak / side.total
        if self.at_best is not None:
            tilt = tilt - self.at_best
        if d_out is None:
            d_out = torch.zeros_like(side.out)
        tilt = tilt - (d_out * side.out).sum(1)
        self.pull = torch.cat([d_out, tilt[:, None]], 1).div_(side.total[:, None])

    def of_rows(self, logits: Tensor, batch: slice, part: slice) -> tuple[Tensor, Tensor]:
        """Of logits [b r m] that some rows read: their slope, and the gradient of the values [b c m]."""
        weights = (logits - self.side.top[batch, part, None]).exp2_()
        pull = self.pull[batch, :, part]
        slope = torch.bmm(pull.mT, self.values[batch])
        if self.warmth is not None:
            slope.addcmul_(logits.clamp(min=LOWEST), self.warmth[batch, part, None])
        slope.mul_(weights)
        if self.at_best is not None and self.side.argmax is not None:
            slope.scatter_add_(-1, self.side.argmax[batch, part, None], self.at_best[batch, part, None])
        return slope, torch.bmm(pull[:, :-1], weights)

    def of_columns(self, logits: Tensor, batch: slice, part: slice) -> tuple[Tensor, Tensor]:
        """Of logits [b r m] that all columns read of some rows: their slope, and the gradient of the values [b e r]."""
        weights = (logits - self.side.top[batch, None]).exp2_()
        pull = self.pull[batch]
        slope = torch.bmm(self.values[batch, :, part].mT, pull)
        if self.warmth is not None:
            slope.addcmul_(logits.clamp(min=LOWEST), self.warmth[batch, None])
        slope.mul_(weights)
        if self.at_best is not None and self.side.argmax is not None:
            index = self.side.argmax[batch, None] - part.start
            here = (index >= 0) & (index < slope.shape[1])
            slope.scatter_add_(1, index.where(here, 0), self.at_best[batch, None].where(here, 0))
        return slope, torch.bmm(pull[:, :-1], weights.mT)


def with_ones(values: Tensor) -> Tensor:
    """[b c n] and a channel of ones, whose sum is the softmax's total."""
    return torch.cat([values, values.new_ones(len(values), 1, values.shape[2])], 1)


def _energy(logits: Tensor, weights: Tensor, axis: int) -> Tensor:
    """The logits' weighted sum; those at -inf weigh nothing."""
    return logits.clamp(min=LOWEST).mul_(weights).sum(axis)


class Coupling(torch.autograd.Function):
    """q [b d n], k [b d m], v [b c m], u [b e n] to the rows' five results and, if there is a u, the columns' five."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, u: Tensor | None, row_bias: Tensor | None, col_bias: Tensor | None,
        scale: float, floor: float | None, also: tuple[str, ...],
    ) -> tuple[Tensor | None, ...]:  # fmt: skip
        """See `reference.couple_both`."""
        source = Logits(q, k, row_bias, col_bias, scale, floor)
        rows, columns = Sums(q, v, also), None if u is None else Sums(k, u, also)
        for batch, part in source.slices():
            logits = source.raised_(source.unbiased(batch, part))
            rows.settle(source.of_rows(logits, batch), batch, part)
            if columns is not None:
                columns.add(source.of_columns(logits, batch, part), batch, part)
        sides = [rows.side()] if columns is None else [rows.side(), columns.side()]
        ctx.save_for_backward(q, k, v, u, row_bias, col_bias, *(x for side in sides for x in side))
        ctx.scale, ctx.floor = scale, floor
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(side.argmax for side in sides if side.argmax is not None))
        return tuple(x for side in sides for x in side.results(also))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Each slice again, once for both directions."""
        q, k, v, u, row_bias, col_bias, *sides = ctx.saved_tensors
        source = Logits(q, k, row_bias, col_bias, ctx.scale, ctx.floor)
        with torch.autocast(q.device.type, enabled=False):
            rows, columns = (
                Pull(Side(*sides[at : at + 5]), values, gradients[at : at + 5]) if any_given(gradients, at) else None
                for at, values in ((0, v), (5, u))
            )
            wanted = [
                torch.zeros_like(x) if needed else None
                for x, needed in zip((q, k, v, u, row_bias, col_bias), ctx.needs_input_grad, strict=False)
            ]
            for batch, part in source.slices():
                _accumulate(source, rows, columns, wanted, batch, part)
        return (*wanted, None, None, None)


def any_given(gradients: tuple[Tensor | None, ...], at: int) -> bool:
    """Whether any of the five results from `at` on has a gradient."""
    return any(g is not None for g in gradients[at : at + 5])


def _accumulate(
    source: Logits, rows: Pull | None, columns: Pull | None, wanted: list[Tensor | None], batch: slice, part: slice
) -> None:
    """Add a slice's share to the gradients of q, k, v, u, row_bias, col_bias."""
    d_q, d_k, d_v, d_u, d_row, d_col = wanted
    logits = source.unbiased(batch, part)
    risen = None if source.floor is None else logits >= source.floor * source.scale * LOG2E
    source.raised_(logits)
    slope = None
    if rows is not None:
        slope, d_values = rows.of_rows(source.of_rows(logits, batch), batch, part)
        if d_v is not None:
            d_v[batch] += d_values
        if d_col is not None:
            d_col[batch] += slope.sum(1)
    if columns is not None:
        also, d_values = columns.of_columns(source.of_columns(logits, batch, part), batch, part)
        if d_u is not None:
            d_u[batch, :, part] = d_values
        if d_row is not None:
            d_row[batch, part] = also.sum(-1)
        slope = also if slope is None else slope.add_(also)
    if slope is None or (d_q is None and d_k is None):
        return
    if risen is not None:
        slope.mul_(risen)
    if d_q is not None:
        d_q[batch, :, part] = torch.bmm(source.k[batch], slope.mT).mul_(source.scale)
    if d_k is not None:
        d_k[batch].baddbmm_(source.q[batch, :, part], slope, alpha=source.scale)
