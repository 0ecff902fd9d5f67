"""What each slice of the matrix adds to the results, and to their gradients."""

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


class Result(NamedTuple):
    """The result of one direction; empty what was not asked for.

    Attributes:
        out: [b c n] expectation of the values.
        logsumexp: [b n] logsumexp of the logits.
        peak: [b n] probability of the best column.
        argmax: [b n] the best column.
        entropy: [b n], in nats.
        top: [b n] largest logit; the weights are exp(logit - top).
        total: [b n] sum of the weights.
    """

    out: Tensor
    logsumexp: Tensor
    peak: Tensor
    argmax: Tensor
    entropy: Tensor
    top: Tensor
    total: Tensor


class OnlineSoftmax:
    """The softmax of one direction, over the slices seen so far: sums of weights and of weighted values."""

    def __init__(self, like: Tensor, values: Tensor, ranked: bool, entropy: bool) -> None:
        b, _, n = like.shape
        self.values = with_ones(values)
        self.top = like.new_full((b, n), LOWEST)
        self.sums = like.new_zeros(b, self.values.shape[1], n)
        self.energy = like.new_zeros(b, n) if entropy else None
        self.argmax = torch.zeros(b, n, dtype=torch.long, device=like.device) if ranked else None

    def add_rows(self, logits: Tensor, batch: slice, part: slice, into: Tensor) -> None:
        """Whole rows, their logits [b r m]; `into` is memory for as many, and may be the logits."""
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

    def add_columns(self, logits: Tensor, batch: slice, part: slice) -> None:
        """Some rows' share of the softmax of every column, from logits [b r m], which are overwritten."""
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

    def result(self) -> Result:
        """The result, once all slices are added."""
        total = self.sums[:, -1].clone()
        log_total = total.log()
        return Result(
            self.sums[:, :-1] / total[:, None],
            self.top + log_total,
            total.new_empty(0) if self.argmax is None else total.reciprocal(),
            torch.empty(0, dtype=torch.long, device=total.device) if self.argmax is None else self.argmax,
            total.new_empty(0) if self.energy is None else log_total - self.energy / total,
            self.top,
            total,
        )


class LogitGrad:
    """The gradient of the logits of one direction: P * (<d out, v> + row_offset + entropy_grad * logit), + peak_grad.

    The last is for each row's best column alone. Everything is divided by `total` once, since the weights that it is
    multiplied by are exp(logit - top) = P * total.
    """

    def __init__(self, result: Result, values: Tensor, gradients: Sequence[Tensor | None]) -> None:
        d_out, d_logsumexp, d_peak, d_entropy = gradients
        self.result, self.values = result, with_ones(values)
        d_out = torch.zeros_like(result.out) if d_out is None else d_out
        row_offset = -(d_out * result.out).sum(1)
        if d_logsumexp is not None:
            row_offset += d_logsumexp
        if d_entropy is not None:
            row_offset += d_entropy * (result.total.log() - result.entropy)
        self.entropy_grad = None if d_entropy is None else -d_entropy / result.total
        self.peak_grad = None if d_peak is None else d_peak / result.total
        if self.peak_grad is not None:
            row_offset -= self.peak_grad
        self.factors = torch.cat([d_out, row_offset[:, None]], 1).div_(result.total[:, None])

    def of_rows(
        self, logits: Tensor, batch: slice, part: slice, below: Tensor, d_logits: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gradients of the logits [b r m] of some rows, and of the values [b c m].

        `below`, which may be the logits, and `d_logits` are memory for as many.
        """
        factors = self.factors[batch, :, part]
        torch.sub(logits, self.result.top[batch, part, None], out=below)
        torch.bmm(factors.mT, self.values[batch], out=d_logits)
        weights = self._weigh(
            d_logits, below, None if self.entropy_grad is None else self.entropy_grad[batch, part, None]
        )
        if self.peak_grad is not None:
            d_logits.scatter_add_(-1, self.result.argmax[batch, part, None], self.peak_grad[batch, part, None])
        return d_logits, torch.bmm(factors[:, :-1], weights)

    def of_columns(self, logits: Tensor, batch: slice, part: slice, d_logits: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the logits [b r m] of all columns with some rows, and of the values [b e r].

        The logits are overwritten; `d_logits` is memory for as many.
        """
        below, factors = logits.sub_(self.result.top[batch, None]), self.factors[batch]
        torch.bmm(self.values[batch, :, part].mT, factors, out=d_logits)
        weights = self._weigh(d_logits, below, None if self.entropy_grad is None else self.entropy_grad[batch, None])
        if self.peak_grad is not None:
            index = self.result.argmax[batch, None] - part.start
            here = (index >= 0) & (index < d_logits.shape[1])
            d_logits.scatter_add_(1, index.where(here, 0), self.peak_grad[batch, None].where(here, 0))
        return d_logits, torch.bmm(factors[:, :-1], weights.mT)

    @staticmethod
    def _weigh(d_logits: Tensor, below: Tensor, entropy_grad: Tensor | None) -> Tensor:
        """The weights, of logits less their top; `d_logits` is multiplied by them in place."""
        below.clamp_(min=NEGLIGIBLE[below.dtype])
        if entropy_grad is not None:
            d_logits.addcmul_(below, entropy_grad)
        weights = below.exp_()
        d_logits.mul_(weights)
        return weights


def with_ones(values: Tensor) -> Tensor:
    """[b c n] and a channel of ones, whose sum is the softmax's total."""
    return torch.cat([values, values.new_ones(len(values), 1, values.shape[2])], 1)


def accumulate(
    source: Logits, rows: LogitGrad | None, columns: LogitGrad | None, wanted: list[Tensor | None],
    batch: slice, part: slice, memory: list[Tensor],
) -> None:  # fmt: skip
    """Add a slice's share to the gradients of q, k.mT, v, u, row_bias, col_bias."""
    d_q, d_k, d_v, d_u, d_row, d_col = wanted
    raw, spare, steep = memory[:3]
    floored, columns_slope = (spare, steep) if rows is None or columns is None else (memory[3], spare)
    source.unfloored(batch, part, raw)
    logits = raw if source.lowest is None else torch.clamp(raw, min=source.lowest, out=floored)
    d_logits = None
    if rows is not None:
        d_logits, d_values = rows.of_rows(source.of_rows(logits, batch, spare), batch, part, spare, steep)
        if d_v is not None:
            d_v[batch] += d_values
        if d_col is not None:
            d_col[batch] += d_logits.sum(1)
    if columns is not None:
        d_more, d_values = columns.of_columns(source.of_columns(logits, batch, part), batch, part, columns_slope)
        if d_u is not None:
            d_u[batch, :, part] = d_values
        if d_row is not None:
            d_row[batch, part] = d_more.sum(-1)
        d_logits = d_more if d_logits is None else d_logits.add_(d_more)
    if d_logits is None or (d_q is None and d_k is None):
        return
    if source.lowest is not None:  # the clamp's gradient: where the product is the floor or above
        limits = torch.finfo(raw.dtype)
        below = source.lowest - max(abs(source.lowest) * limits.eps, limits.tiny)
        torch.ops.aten.threshold_backward.grad_input(d_logits, raw, below, grad_input=d_logits)
    if d_q is not None:
        d_q[batch, :, part] = torch.bmm(source.k[batch], d_logits.mT).mul_(source.scale)
    if d_k is not None:
        d_k[batch].baddbmm_(d_logits.mT, source.q[batch, :, part].mT, alpha=source.scale)
