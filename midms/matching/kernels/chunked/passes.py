"""What each slice adds to the results of `chunked`, and to its gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from midms.matching.kernels.chunked.slices import Logits

LOWEST = -1e30
"""Below every logit but those of a column that takes no part."""

NEGLIGIBLE = {dtype: 0.6 * math.log(torch.finfo(dtype).tiny) for dtype in (torch.float32, torch.float64)}
"""Logits further below their row's largest count as this far, in float32 as a share of 2e-23. Denormal weights, and
denormal gradients, would be a hundred times slower to multiply than others."""


class Side(NamedTuple):
    """What one direction has read; empty what was not asked for.

    Attributes:
        out: [b c n] the values carried.
        mass: [b n] logsumexp of the logits.
        peak: [b n] probability of the best column.
        argmax: [b n] it.
        entropy: [b n], in nats.
        top: [b n] shift of the weights, exp(logit - top).
        total: [b n] sum of the weights.
    """

    out: Tensor
    mass: Tensor
    peak: Tensor
    argmax: Tensor
    entropy: Tensor
    top: Tensor
    total: Tensor


class Sums:
    """One direction's sums over the slices seen so far."""

    def __init__(self, like: Tensor, values: Tensor, ranked: bool, entropy: bool) -> None:
        b, _, n = like.shape
        self.values = with_ones(values)
        self.top = like.new_full((b, n), LOWEST)
        self.sums = like.new_zeros(b, self.values.shape[1], n)
        self.energy = like.new_zeros(b, n) if entropy else None
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
        log_total = total.log()
        return Side(
            self.sums[:, :-1] / total[:, None],
            self.top + log_total,
            total.new_empty(0) if self.argmax is None else total.reciprocal(),
            torch.empty(0, dtype=torch.long, device=total.device) if self.argmax is None else self.argmax,
            total.new_empty(0) if self.energy is None else log_total - self.energy / total,
            self.top,
            total,
        )


class Pull:
    """One direction's gradients: of the logits P * (<d out, v> + tilt - d entropy * logit), and at the best one more.

    That the weights are exp(logit - top) = P * total is taken care of once, in what they are multiplied by.
    """

    def __init__(self, side: Side, values: Tensor, gradients: Sequence[Tensor | None]) -> None:
        d_out, d_mass, d_peak, d_entropy = gradients
        self.side, self.values = side, with_ones(values)
        d_out = torch.zeros_like(side.out) if d_out is None else d_out
        tilt = -(d_out * side.out).sum(1)
        if d_mass is not None:
            tilt += d_mass
        if d_entropy is not None:
            tilt += d_entropy * (side.total.log() - side.entropy)
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
        if self.at_best is not None:
            slope.scatter_add_(-1, self.side.argmax[batch, part, None], self.at_best[batch, part, None])
        return slope, torch.bmm(pull[:, :-1], weights)

    def of_columns(self, logits: Tensor, batch: slice, part: slice, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Of logits [b r m] that all columns read of some rows: their slope, and the gradient of the values [b e r].

        The logits are consumed; `slope` is memory for as many.
        """
        below, pull = logits.sub_(self.side.top[batch, None]), self.pull[batch]
        torch.bmm(self.values[batch, :, part].mT, pull, out=slope)
        weights = self._weigh(slope, below, None if self.warmth is None else self.warmth[batch, None])
        if self.at_best is not None:
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
