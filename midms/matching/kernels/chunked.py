"""Plain torch on any device: the matrix is made slice by slice, and again in the backward pass; never n x m.

The backward pass makes each slice's coupling again instead of keeping it, as in FlashAttention (Dao et al. 2022,
arXiv:2205.14135, alg. 4). Inside, channels come first: that is how features and values arrive, and products with a few
values are several times quicker so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

SLICE_ENTRIES = {"cpu": 1 << 20, "cuda": 1 << 26}
"""Entries of the matrix held at once, over the batch: what a core's cache holds, or what fills a GPU. The backward pass
holds four such slices."""


def couple(
    q: Float[Tensor, "b n d"],
    k: Float[Tensor, "b m d"],
    v: Float[Tensor, "b m c"],
    col_bias: Float[Tensor, "b m"] | None,
    scale: float,
    floor: float | None,
) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b n"]]:
    """See `reference.couple`. Differentiable once, in q, k, v and col_bias, through both results."""
    precise = torch.promote_types(q.dtype, torch.float32)
    operands = [x.to(precise).mT.contiguous() for x in (q, k, v)]
    bias = None if col_bias is None else col_bias.to(precise)
    out, mass = _Couple.apply(*operands, bias, scale, floor)
    return out.mT.to(v.dtype), mass


def _slices(batch: int, rows: int, columns: int, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Whole samples while they fit in `SLICE_ENTRIES`, else some rows of one sample."""
    entries = SLICE_ENTRIES.get(device.type, SLICE_ENTRIES["cuda"])
    samples = min(batch, max(1, entries // (rows * columns)))
    height = min(rows, max(1, entries // (samples * columns)))
    for sample in range(0, batch, samples):
        for row in range(0, rows, height):
            yield slice(sample, min(sample + samples, batch)), slice(row, min(row + height, rows))


def _logits_(scores: Tensor, bias: Tensor | None, scale: float, floor: float | None) -> Tensor:
    """From inner products, in place."""
    if floor is not None:
        scores.clamp_(min=floor)
    scores.mul_(scale)
    return scores if bias is None else scores.add_(bias[:, None])


class _Couple(torch.autograd.Function):
    """On q [b d n], k [b d m], v [b c m] to out [b c n] and mass [b n]."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float, floor: float | None
    ) -> tuple[Tensor, Tensor]:
        (b, c, m), n = v.shape, q.shape[2]
        out, mass = q.new_empty(b, c, n), q.new_empty(b, n)
        for batch, rows in _slices(b, n, m, q.device):
            scores = torch.bmm(q[batch, :, rows].mT, k[batch])
            logits = _logits_(scores, None if bias is None else bias[batch], scale, floor)
            peak = logits.amax(-1)
            coupling = logits.softmax(-1)
            mass[batch, rows] = peak - coupling.amax(-1).log_()
            out[batch, :, rows] = torch.bmm(v[batch], coupling.mT)
        ctx.save_for_backward(q, k, v, bias, out)
        ctx.scale, ctx.floor = scale, floor
        return out, mass

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor, d_mass: Tensor) -> tuple[Tensor | None, ...]:
        # d logits = P * (<d_out, v> - <d_out, out> + d_mass)
        q, k, v, bias, out = ctx.saved_tensors
        d_q, d_k, d_v, d_bias = (
            torch.zeros_like(operand) if wanted else None
            for operand, wanted in zip((q, k, v, bias), ctx.needs_input_grad, strict=False)
        )
        d_out = d_out.contiguous()
        tilt = (d_mass - (d_out * out).sum(1))[..., None]
        with torch.autocast(q.device.type, enabled=False):
            for batch, rows in _slices(len(q), q.shape[2], k.shape[2], q.device):
                q_s, k_s, d_s = q[batch, :, rows], k[batch], d_out[batch, :, rows]
                scores = torch.bmm(q_s.mT, k_s)
                risen = None if ctx.floor is None else torch.ge(scores, ctx.floor, out=torch.empty_like(scores))
                logits = _logits_(scores, None if bias is None else bias[batch], ctx.scale, ctx.floor)
                coupling = logits.softmax(-1)
                if d_v is not None:
                    d_v[batch].baddbmm_(d_s, coupling)
                if d_q is None and d_k is None and d_bias is None:
                    continue
                slope = torch.baddbmm(tilt[batch, rows], d_s.mT, v[batch]).mul_(coupling)
                if d_bias is not None:
                    d_bias[batch] += slope.sum(1)
                if risen is not None:
                    slope.mul_(risen)
                if d_q is not None:
                    d_q[batch, :, rows] = torch.bmm(k_s, slope.mT).mul_(ctx.scale)
                if d_k is not None:
                    d_k[batch].baddbmm_(q_s, slope, alpha=ctx.scale)
        return d_q, d_k, d_v, d_bias, None, None
