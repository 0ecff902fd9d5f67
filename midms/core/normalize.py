"""Features of unit length, with a gradient that keeps nothing but them."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def l2_normalize(x: Float[Tensor, "b d h w"], eps: float = 1e-6) -> Float[Tensor, "b d h w"]:
    """Length one in every cell.

    A cell that says nothing, because it is shorter than `eps` or holds a NaN or an infinity, becomes zero and gets no
    gradient: it is equally unlike everything, so its match is uniform over the exemplar and its similarity 0.

    Args:
        x: features.
        eps: lengths below it count as zero.

    Returns:
        Unit vectors and zeros, in the precision of `x`. Differentiable once.
    """
    directions: Tensor = _Unit.apply(x, eps)[0]
    return directions


class _Unit(torch.autograd.Function):
    """Directions, and the reciprocal of each length, zero for what says nothing."""

    @staticmethod
    def forward(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        precise = torch.promote_types(x.dtype, torch.float32)
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=precise)
        speaks = length.isfinite() & (length > eps)
        per_length = speaks / torch.where(speaks, length, 1)
        return (x * per_length).masked_fill_(~speaks, 0).to(x.dtype), per_length

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*output)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None]:
        directions, per_length = ctx.saved_tensors
        along = (gradient * directions).sum(1, keepdim=True, dtype=per_length.dtype)
        return torch.addcmul(gradient, directions, along, value=-1).mul_(per_length).to(gradient.dtype), None
