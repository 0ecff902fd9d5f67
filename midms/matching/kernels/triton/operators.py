"""`prepare`, `check` and what `top_k` rests on as operators of torch."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from midms.matching.kernels.reference import PARTS, SPLIT_SCALE
from midms.matching.kernels.triton.cells import check_kernel
from midms.matching.kernels.triton.configs import FUSED
from midms.matching.kernels.triton.nearest import best_columns
from midms.matching.kernels.triton.pack import pack_units


@torch.library.custom_op(
    "midms::prepare", mutates_args=(), schema="(Tensor x, bool centre, str precision, float eps) -> Tensor[]"
)
def prepare(x: Tensor, centre: bool, precision: str, eps: float) -> list[Tensor]:
    """[b d h w] to one or two of [b n d], see `reference.prepare`."""
    dtype, parts = PARTS[precision]
    packed = pack_units(x.flatten(2).mT, dtype, parts, SPLIT_SCALE if parts > 1 else 1.0, centre, eps)
    return list(packed.unbind()) if parts == 1 else [part.clone() for part in packed]


@prepare.register_fake
def _(x: Tensor, centre: bool, precision: str, eps: float) -> list[Tensor]:
    dtype, parts = PARTS[precision]
    (b, d), n = x.shape[:2], x.shape[2] * x.shape[3]
    return [x.new_empty(b, n, d, dtype=dtype) for _ in range(parts)]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    x, ctx.centre, _, ctx.eps = inputs
    ctx.factor = SPLIT_SCALE if len(output) > 1 else 1.0
    ctx.save_for_backward(x)


def _backward(ctx: Any, gradients: list[Tensor]) -> tuple[Tensor | None, ...]:
    """Of c / |c|, c centred; rounding counts as the identity, and what is left over for the second part as constant."""
    (x,) = ctx.saved_tensors
    c = torch.where(x.isfinite().all(1, keepdim=True), x, 0).float()
    if ctx.centre:
        c = c - c.mean(1, keepdim=True)
    length = torch.linalg.vector_norm(c, dim=1, keepdim=True)
    spoken = length > ctx.eps
    unit = c / torch.where(spoken, length, 1)
    d_unit = gradients[0].float().mT.unflatten(2, x.shape[2:]) * ctx.factor
    d_c = torch.where(
        spoken, (d_unit - unit * (unit * d_unit).sum(1, keepdim=True)) / torch.where(spoken, length, 1), 0
    )
    if ctx.centre:
        d_c = d_c - d_c.mean(1, keepdim=True)
    return d_c.to(x.dtype), None, None, None


prepare.register_autograd(_backward, setup_context=_remember)


@torch.library.custom_op(
    "midms::check", mutates_args=(), schema="(Tensor forward, Tensor backward, float radius) -> (Tensor, Tensor)"
)
def check(forward: Tensor, backward: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    """See `reference.check`."""
    (b, _, h, w), cells = forward.shape, 128
    error, mask = (forward.new_empty(b, 1, h, w, dtype=torch.float32) for _ in range(2))
    check_kernel[(triton.cdiv(h * w, cells), b)](
        forward.contiguous(),
        backward.contiguous(),
        error,
        mask,
        h,
        w,
        *backward.shape[2:],
        radius,
        CELLS=cells,
        **FUSED,
    )
    return error, mask


@check.register_fake
def _(forward: Tensor, backward: Tensor, radius: float) -> tuple[Tensor, Tensor]:
    like = forward[:, :1].float()
    return torch.empty_like(like), torch.empty_like(like)


@torch.library.custom_op(
    "midms::nearest", mutates_args=(), schema="(Tensor q, Tensor k, int count, str precision) -> (Tensor, Tensor)"
)
def nearest(q: Tensor, k: Tensor, count: int, precision: str) -> tuple[Tensor, Tensor]:
    """See `triton_nearest.best_columns`."""
    scores, columns = best_columns(q, k, count, precision)
    return scores.contiguous(), columns.contiguous()


@nearest.register_fake
def _(q: Tensor, k: Tensor, count: int, precision: str) -> tuple[Tensor, Tensor]:
    shape = (*q.shape[:2], count)
    return q.new_empty(shape, dtype=torch.float32), q.new_empty(shape, dtype=torch.long)
