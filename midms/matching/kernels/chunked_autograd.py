"""What `chunked` makes of its slices, forward and backward."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from midms.matching.kernels.chunked_slices import Logits, slices

LOWEST = -1e30
"""Below every logit but those of a column that takes no part."""

NEGLIGIBLE = {dtype: 0.6 * math.log(torch.finfo(dtype).tiny) for dtype in (torch.float32, torch.float64)}
"""Logits further below their row's largest count as this far, in float32 as a share of 2e-23. Denormal weights, and
denormal gradients, would be a hundred times slower to multiply than others."""

Gradients = tuple[Tensor | None, ...]


class Side(NamedTuple):
    """What one direction has read.

    Attributes:
        top: [b n] shift of its weights, exp(logit - top).
        total: [b n] sum of the weights.
        out: [b c n] the values carried.
        energy: [b n] the expected logit - top, if asked for.
        argmax: [b n], if asked for.
    """

    top: Tensor
    total: Tensor
    out: Tensor
    energy: Tensor | None
    argmax: Tensor | None

    def results(self, also: tuple[str, ...]) -> Gradients:
        """Values, mass, peak, argmax, entropy."""
        log_total = self.total.log()
        return (
            self.out,
            self.top + log_total,
            self.total.reciprocal() if "peak" in also else None,
            self.argmax if "argmax" in also else None,
            None if self.energy is None else log_total - self.energy,
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

    def settle(self, logits: Tensor, batch: slice, part: slice, into: Tensor) -> None:
        """All that some rows read: logits [b r m]; `into` is memory for as many, and may be theirs."""
        if self.argmax is None:
            top = logits.amax(-1)
        else:
            top, self.argmax[batch, part] = logits.max(-1)
        self.top[batch, part] = top
        below = torch.sub(logits, top[..., None], out=into).clamp_(min=NEGLIGIBLE[logits.dtype])
        weights = below.exp_() if self.energy is None else below.exp()
        self.sums[batch, :, part] = torch.bmm(self.values[batch], weights.mT)
        if self.energy is not None:
            self.energy[batch, part] = below.mul_(weights).sum(-1)

    def add(self, logits: Tensor, batch: slice, part: slice) -> None:
        """What all columns read of some rows: logits [b r m], which are consumed."""
        before, sums = self.top[batch], self.sums[batch]
        if self.argmax is None:
            highest = logits.amax(1)
        else:
            highest, where = logits.max(1)
            self.argmax[batch] = torch.where(highest > before, where + part.start, self.argmax[batch])
        top = torch.maximum(before, highest)
        shift = (before - top).clamp_(min=NEGLIGIBLE[logits.dtype])
        kept = shift.exp()
        below = logits.sub_(top[:, None]).clamp_(min=NEGLIGIBLE[logits.dtype])
        weights = below.exp_() if self.energy is None else below.exp()
        if self.energy is not None:
            self.energy[batch] = kept * (self.energy[batch] + shift * sums[:, -1]) + below.mul_(weights).sum(1)
        sums.mul_(kept[:, None]).baddbmm_(self.values[batch, :, part], weights)
        self.top[batch] = top

    def side(self) -> Side:
        """When all is seen."""
        total = self.sums[:, -1].clone()
        energy = None if self.energy is None else self.energy.div_(total)
        return Side(self.top, total, self.sums[:, :-1].div_(total[:, None]), energy, self.argmax)


class Pull:
    """One direction's gradients: of the logits P * (<d out, v> + tilt - d entropy * logit), and at the best one more.

    That the weights are exp(logit - top) = P * total is taken care of once, in what they are multiplied by.
    """

    def __init__(self, side: Side, values: Tensor, gradients: Gradients) -> None:
        d_out, d_mass, d_peak, _, d_entropy = gradients
        self.side, self.values = side, with_ones(values)
        d_out = torch.zeros_like(side.out) if d_out is None else d_out
        tilt = -(d_out * side.out).sum(1)
        if d_mass is not None:
            tilt += d_mass
        if d_entropy is not None and side.energy is not None:
            tilt += d_entropy * side.energy
        self.warmth = None if d_entropy is None else -d_entropy / side.total
        self.at_best = None if d_peak is None else d_peak / side.total
        if self.at_best is not None:
            tilt -= self.at_best
        self.pull = torch.cat([d_out, tilt[:, None]], 1).div_(side.total[:, None])

    def of_rows(self, logits: Tensor, batch: slice, part: slice, below: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Of logits [b r m] that some rows read: their slope, and the gradient of the values [b c m].

        `below`, which may be the logits, and `slope` are memory for as many.
        """
        pull = self.pull[batch, :, part]
        torch.sub(logits, self.side.top[batch, part, None], out=below)
        torch.bmm(pull.mT, self.values[batch], out=slope)
        weights = self._weigh(slope, below, None if self.warmth is None else self.warmth[batch, part, None])
        if self.at_best is not None and self.side.argmax is not None:
            slope.scatter_add_(-1, self.side.argmax[batch, part, None], self.at_best[batch, part, None])
        return slope, torch.bmm(pull[:, :-1], weights)

    def of_columns(self, logits: Tensor, batch: slice, part: slice, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Of logits [b r m] that all columns read of some rows: their slope, and the gradient of the values [b e r].

        The logits are consumed; `slope` is memory for as many.
        """
        below, pull = logits.sub_(self.side.top[batch, None]), self.pull[batch]
        torch.bmm(self.values[batch, :, part].mT, pull, out=slope)
        weights = self._weigh(slope, below, None if self.warmth is None else self.warmth[batch, None])
        if self.at_best is not None and self.side.argmax is not None:
            index = self.side.argmax[batch, None] - part.start
            here = (index >= 0) & (index < slope.shape[1])
            slope.scatter_add_(1, index.where(here, 0), self.at_best[batch, None].where(here, 0))
        return slope, torch.bmm(pull[:, :-1], weights.mT)

    @staticmethod
    def _weigh(slope: Tensor, below: Tensor, warmth: Tensor | None) -> Tensor:
        """The weights, of logits less their top; the slope is multiplied by them."""
        below.clamp_(min=NEGLIGIBLE[below.dtype])
        if warmth is not None:
            slope.addcmul_(below, warmth)
        weights = below.exp_()
        slope.mul_(weights)
        return weights


def with_ones(values: Tensor) -> Tensor:
    """[b c n] and a channel of ones, whose sum is the softmax's total."""
    return torch.cat([values, values.new_ones(len(values), 1, values.shape[2])], 1)


class Coupling(torch.autograd.Function):
    """q [b d n], k [b d m], v [b c m], u [b e n] to the rows' five results and, if there is a u, the columns' five."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, u: Tensor | None, row_bias: Tensor | None, col_bias: Tensor | None,
        scale: float, floor: float | None, also: tuple[str, ...],
    ) -> Gradients:  # fmt: skip
        """See `reference.couple_both`."""
        source = Logits(q, k, row_bias, col_bias, scale, floor)
        rows, columns = Sums(q, v, also), None if u is None else Sums(k, u, also)
        for batch, part, (logits, spare) in slices(q, k, 2):
            source.unfloored(batch, part, logits)
            if source.lowest is not None:
                logits.clamp_(min=source.lowest)
            rows.settle(source.of_rows(logits, batch, spare), batch, part, spare)
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
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        """Each slice again, once for both directions."""
        q, k, v, u, row_bias, col_bias, *sides = ctx.saved_tensors
        source = Logits(q, k, row_bias, col_bias, ctx.scale, ctx.floor)
        with torch.autocast(q.device.type, enabled=False):
            rows, columns = (
                Pull(Side(*sides[at : at + 5]), values, gradients[at : at + 5])
                if any(g is not None for g in gradients[at : at + 5])
                else None
                for at, values in ((0, v), (5, u))
            )
            wanted = [
                torch.zeros_like(x, memory_format=torch.contiguous_format) if needed else None
                for x, needed in zip((q, k.mT, v, u, row_bias, col_bias), ctx.needs_input_grad, strict=False)
            ]
            for batch, part, memory in slices(q, k, 4 if rows and columns else 3):
                accumulate(source, rows, columns, wanted, batch, part, memory)
        d_q, d_k, *others = wanted
        return (d_q, None if d_k is None else d_k.mT, *others, None, None, None)


def accumulate(
    source: Logits, rows: Pull | None, columns: Pull | None, wanted: list[Tensor | None], batch: slice, part: slice,
    memory: list[Tensor],
) -> None:  # fmt: skip
    """Add a slice's share to the gradients of q, k.mT, v, u, row_bias, col_bias."""
    d_q, d_k, d_v, d_u, d_row, d_col = wanted
    raw, spare, steep = memory[:3]
    floored, also_steep = (spare, steep) if rows is None or columns is None else (memory[3], spare)
    source.unfloored(batch, part, raw)
    logits = raw if source.lowest is None else torch.clamp(raw, min=source.lowest, out=floored)
    slope = None
    if rows is not None:
        slope, d_values = rows.of_rows(source.of_rows(logits, batch, spare), batch, part, spare, steep)
        if d_v is not None:
            d_v[batch] += d_values
        if d_col is not None:
            d_col[batch] += slope.sum(1)
    if columns is not None:
        also, d_values = columns.of_columns(source.of_columns(logits, batch, part), batch, part, also_steep)
        if d_u is not None:
            d_u[batch, :, part] = d_values
        if d_row is not None:
            d_row[batch, part] = also.sum(-1)
        slope = also if slope is None else slope.add_(also)
    if slope is None or (d_q is None and d_k is None):
        return
    if source.lowest is not None:  # the clamp's gradient: where the product is the floor or above
        limits = torch.finfo(raw.dtype)
        below = source.lowest - max(abs(source.lowest) * limits.eps, limits.tiny)
        torch.ops.aten.threshold_backward.grad_input(slope, raw, below, grad_input=slope)
    if d_q is not None:
        d_q[batch, :, part] = torch.bmm(source.k[batch], slope.mT).mul_(source.scale)
    if d_k is not None:
        d_k[batch].baddbmm_(slope.mT, source.q[batch, :, part].mT, alpha=source.scale)
