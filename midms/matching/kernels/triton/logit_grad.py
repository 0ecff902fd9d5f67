"""The gradient of the logits in the terms that the backward kernel computes it from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from midms.matching.kernels.triton.options import Options
from midms.matching.kernels.triton.pack import LN2, LOG2E, pack, padded_values, value_scales


class LogitGrad(NamedTuple):
    """The gradient of the logits of one direction, before it is computed.

    It is P * (<d_out, v> + row_offset + entropy_grad * logit), and peak_grad more at each row's best column.

    Attributes:
        d_out: [b n c] gradient of the result.
        row_offset: [b n] the part that is the same for the whole row.
        logsumexp: [b n] logsumexp of the logits, in nats.
        entropy_grad: [b n] less the gradient of the entropy, or None.
        peak_grad: [b n] gradient of the peak times the peak, or None.
        best: [b n] the best columns, or None.
    """

    d_out: Tensor
    row_offset: Tensor
    logsumexp: Tensor
    entropy_grad: Tensor | None
    peak_grad: Tensor | None
    best: Tensor | None

    @property
    def statistics(self) -> bool:
        """Whether peak or entropy have a gradient."""
        return self.entropy_grad is not None or self.peak_grad is not None

    def bound(self, v: Tensor) -> Tensor:
        """[b] a bound on <d_out, v> + row_offset + entropy_grad * logit + peak_grad."""
        bound = (self.d_out.abs() @ v.abs().amax(1)[..., None].float())[..., 0] + self.row_offset.abs()
        if self.entropy_grad is not None:
            bound = bound + self.entropy_grad.abs() * (self.logsumexp.abs() + 1)
        if self.peak_grad is not None:
            bound = bound + self.peak_grad.abs()
        return bound.amax(1)


LARGEST_LOGIT_GRAD = 8.0
"""Largest gradient of a logit before it is multiplied by P and lifted: float16 holds up to 65504."""


def from_fields(fields: list[Tensor]) -> LogitGrad | None:
    """The record of the tensors that `logit_grad` gives; None for no tensors."""
    if not fields:
        return None
    d_out, row_offset, logsumexp, *rest = fields
    return LogitGrad(d_out, row_offset, logsumexp, *(x if x.numel() else None for x in rest))


def logit_grad(results: list[Tensor], d_results: list[Tensor | None]) -> list[Tensor]:
    """The fields of the `LogitGrad` of one direction, empty for None; no fields where no result has a gradient.

    With E the expected logit: d logsumexp gives P, d peak peak * ([j is best] - P), d entropy P * (E - logit).
    """
    if all(d is None for d in d_results):
        return []
    out, logsumexp, peak, argmax, entropy = results
    d_out, d_logsumexp, d_peak, _, d_entropy = d_results
    nothing = logsumexp.new_empty(0)
    entropy_grad, peak_grad, best = nothing, nothing, nothing
    row_offset = torch.zeros_like(logsumexp) if d_logsumexp is None else d_logsumexp
    if d_entropy is not None and entropy.numel():
        entropy_grad = -d_entropy
        row_offset = row_offset + d_entropy * (logsumexp - entropy)
    if d_peak is not None and peak.numel():
        peak_grad, best = d_peak * peak, argmax
        row_offset = row_offset - peak_grad
    d_out = torch.zeros_like(out) if d_out is None else d_out
    return [d_out, row_offset - (d_out * out).sum(-1), logsumexp, entropy_grad, peak_grad, best]


class Packed(NamedTuple):
    """A `LogitGrad` with the values v [b m c] and their bias, as the kernel reads them: packed, in base 2, shrunk."""

    values: Tensor
    d_out: Tensor
    logsumexp: Tensor
    row_offset: Tensor
    entropy_grad: Tensor | None
    peak_grad: Tensor | None
    best: Tensor | None
    bias: Tensor | None
    value_scale: Tensor

    @property
    def width(self) -> int:
        """Width of the packed values."""
        return self.values.shape[3]

    @property
    def piece(self) -> int:
        """How many of their columns are multiplied at once."""
        return next((piece for piece in (128, 64, 32, 16) if self.width % piece == 0), 16)


def packed(options: Options, v: Tensor, bias: Tensor | None, grad: LogitGrad, shrink: Tensor) -> Packed:
    """Everything packed, the gradients times `shrink` [b], a power of two that makes them fit."""
    spec, width, value_scale = options.spec, padded_values(v.shape[2]), value_scales(v, options.spec)
    by = shrink[:, None]
    return Packed(
        pack(v / value_scale[:, None], spec.operand, spec.value_parts, width),
        pack(grad.d_out * (by * value_scale)[:, None], spec.operand, spec.value_parts, width),
        (grad.logsumexp * LOG2E).contiguous(),
        (grad.row_offset * by).contiguous(),
        None if grad.entropy_grad is None else (grad.entropy_grad * by * LN2).contiguous(),
        None if grad.peak_grad is None else (grad.peak_grad * by).contiguous(),
        None if grad.best is None else grad.best.to(torch.int32).contiguous(),
        None if bias is None else (bias.float() * LOG2E).contiguous(),
        value_scale,
    )


def shrinkage(bounds: Sequence[Tensor]) -> Tensor:
    """[b] the power of two that brings the sum of bounds to at most `LARGEST_LOGIT_GRAD`."""
    bound = torch.stack(list(bounds)).sum(0)
    return LARGEST_LOGIT_GRAD * (-torch.frexp(bound).exponent).float().exp2()
