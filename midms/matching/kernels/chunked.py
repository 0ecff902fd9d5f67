"""Plain torch on any device: the matrix is made slice by slice, and again in the backward pass; never n x m.

Within a slice the logits are one matrix product, exponentiated in place against the row's maximum. The backward pass
makes each slice's coupling again from the saved logsumexp, as in FlashAttention (Dao et al. 2022, arXiv:2205.14135,
alg. 4).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

SLICE_ENTRIES = 1 << 20
"""Entries of the matrix held at once, over the batch."""


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
    bias = None if col_bias is None else col_bias.to(precise)
    out, mass = _Couple.apply(q.to(precise), k.to(precise), v.to(precise), bias, scale, floor)
    return out.to(v.dtype), mass


def _slices(batch: int, rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Whole samples while they fit in `SLICE_ENTRIES`, else some rows of one sample."""
    samples = min(batch, max(1, SLICE_ENTRIES // (rows * columns)))
    height = min(rows, max(1, SLICE_ENTRIES // (samples * columns)))
    for sample in range(0, batch, samples):
        for row in range(0, rows, height):
            yield slice(sample, min(sample + samples, batch)), slice(row, min(row + height, rows))


def _logits(
    q: Tensor, k: Tensor, bias: Tensor | None, scale: float, floor: float | None, marked: bool = False
) -> tuple[Tensor, Tensor | None]:
    """The logits of a slice, and if `marked` which of them stand on the floor."""
    if bias is None:
        logits = torch.bmm(q, k.mT).mul_(scale)
        lowest = None if floor is None else logits.new_tensor(scale * floor)
    else:
        logits = torch.baddbmm(bias[:, None], q, k.mT, alpha=scale)
        lowest = None if floor is None else (bias + scale * floor)[:, None]
    if lowest is None:
        return logits, None
    floored = logits < lowest if marked else None
    return torch.maximum(logits, lowest, out=logits), floored


class _Couple(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float, floor: float | None
    ) -> tuple[Tensor, Tensor]:
        (b, n, _), (m, c) = q.shape, v.shape[1:]
        out, mass = q.new_empty(b, n, c), q.new_empty(b, n)
        with torch.autocast(q.device.type, enabled=False):
            for batch, rows in _slices(b, n, m):
                weights, _ = _logits(q[batch, rows], k[batch], None if bias is None else bias[batch], scale, floor)
                peak = weights.amax(-1, keepdim=True).clamp_(min=torch.finfo(weights.dtype).min)
                total = weights.sub_(peak).exp_().sum(-1, keepdim=True)
                mass[batch, rows] = (peak + total.log())[..., 0]
                out[batch, rows] = (weights @ v[batch]).div_(total.clamp_(min=torch.finfo(total.dtype).tiny))
        ctx.save_for_backward(q, k, v, bias, out, mass)
        ctx.scale, ctx.floor = scale, floor
        return out, mass

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor, d_mass: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias, out, mass = ctx.saved_tensors
        wanted = dict(zip("qkvb", ctx.needs_input_grad, strict=False))
        d_q, d_k, d_v, d_bias = (
            torch.zeros_like(operand) if wanted[name] else None for name, operand in zip("qkvb", (q, k, v, bias), strict=True)
        )
        # d logits = P * (<d_out, v> - <d_out, out> + d_mass)
        tilt = (d_mass - (d_out * out).sum(-1))[..., None]
        mass = mass.masked_fill(mass == -torch.inf, 0)[..., None]
        with torch.autocast(q.device.type, enabled=False):
            for batch, rows in _slices(len(q), q.shape[1], k.shape[1]):
                q_s, k_s, g_s = q[batch, rows], k[batch], d_out[batch, rows]
                logits, floored = _logits(q_s, k_s, None if bias is None else bias[batch], ctx.scale, ctx.floor, True)
                coupling = logits.sub_(mass[batch, rows]).exp_()
                if d_v is not None:
                    d_v[batch].baddbmm_(coupling.mT, g_s)
                if not (wanted["q"] or wanted["k"] or wanted["b"]):
                    continue
                slope = torch.baddbmm(tilt[batch, rows], g_s, v[batch].mT).mul_(coupling)
                if d_bias is not None:
                    d_bias[batch] += slope.sum(1)
                if floored is not None:
                    slope.masked_fill_(floored, 0)
                if d_q is not None:
                    d_q[batch, rows] = torch.bmm(slope, k_s).mul_(ctx.scale)
                if d_k is not None:
                    d_k[batch].baddbmm_(slope.mT, q_s, alpha=ctx.scale)
        return d_q, d_k, d_v, d_bias, None, None
