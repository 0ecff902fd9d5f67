"""`chunked` as operators of torch, with gradients, so that torch.compile passes through them whole.

They are defined as `torch.library.custom_op` defines them, but for its import of torch's compiler at the first call,
which takes as long as importing torch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from midms.matching.kernels.chunked.passes import LogitGrad, OnlineSoftmax, Result, accumulate
from midms.matching.kernels.chunked.slices import Logits, slices
from midms.matching.kernels.validate import no_second_derivative

RESULTS = len(Result._fields)
"""Tensors of one direction."""

_INPUTS = "Tensor q, Tensor k, Tensor v, Tensor? u, Tensor? row_bias, Tensor? col_bias, float scale, float? floor"
torch.library.define("midms::chunked", f"({_INPUTS}, bool ranked, bool entropy) -> Tensor[]")
torch.library.define(
    "midms::chunked_backward", f"({_INPUTS}, Tensor[] results, Tensor[] gradients, bool[] needed) -> Tensor[]"
)
attend = torch.ops.midms.chunked.default
attend_backward = torch.ops.midms.chunked_backward.default


@torch.library.impl("midms::chunked", "default")
def _(
    q: Tensor, k: Tensor, v: Tensor, u: Tensor | None, row_bias: Tensor | None, col_bias: Tensor | None,
    scale: float, floor: float | None, ranked: bool, entropy: bool,
) -> list[Tensor]:  # fmt: skip
    """q [b d n], k [b d m], v [b c m], u [b e n] to the rows' `Result` and, if there is a u, the columns'."""
    source = Logits(q, k, row_bias, col_bias, scale, floor)
    rows, columns = OnlineSoftmax(q, v, ranked, entropy), None if u is None else OnlineSoftmax(k, u, ranked, entropy)
    for batch, part, (logits, spare) in slices(q, k, 2):
        source.unfloored(batch, part, logits)
        if source.lowest is not None:
            logits.clamp_(min=source.lowest)
        rows.add_rows(source.of_rows(logits, batch, spare), batch, part, spare)
        if columns is not None:
            columns.add_columns(source.of_columns(logits, batch, part), batch, part)
    return [*rows.result()] if columns is None else [*rows.result(), *columns.result()]


@torch.library.register_fake("midms::chunked")
def _(
    q: Tensor, k: Tensor, v: Tensor, u: Tensor | None, row_bias: Tensor | None, col_bias: Tensor | None,
    scale: float, floor: float | None, ranked: bool, entropy: bool,
) -> list[Tensor]:  # fmt: skip
    results = []
    for side, values in ((q, v),) if u is None else ((q, v), (k, u)):
        b, n = side.shape[0], side.shape[2]
        best, spread = ((b, n) if ranked else (0,)), ((b, n) if entropy else (0,))
        results += [q.new_empty(b, values.shape[1], n), q.new_empty(b, n), q.new_empty(best)]
        results += [q.new_empty(best, dtype=torch.long), q.new_empty(spread), q.new_empty(b, n), q.new_empty(b, n)]
    return results


@torch.library.impl("midms::chunked_backward", "default")
def _(
    q: Tensor, k: Tensor, v: Tensor, u: Tensor | None, row_bias: Tensor | None, col_bias: Tensor | None,
    scale: float, floor: float | None, results: list[Tensor], gradients: list[Tensor], needed: list[bool],
) -> list[Tensor]:  # fmt: skip
    """Gradients of q, k.mT, v, u, row_bias, col_bias, those needed; the others are empty.

    A slice is made once for both directions. `gradients` are a direction's of values, logsumexp, peak and entropy; what
    is empty counts as zero.
    """
    source = Logits(q, k, row_bias, col_bias, scale, floor)
    given = [gradient if gradient.numel() else None for gradient in gradients]
    logit_grads: list[LogitGrad | None] = [None, None]
    for at, values in ((0, v), (1, u)):
        if values is not None and any(gradient is not None for gradient in given[4 * at : 4 * at + 4]):
            result = Result(*results[RESULTS * at : RESULTS * (at + 1)])
            logit_grads[at] = LogitGrad(result, values, given[4 * at : 4 * at + 4])
    rows, columns = logit_grads
    made = [
        x.new_zeros(x.shape) if x is not None and asked else None
        for x, asked in zip((q, k.mT, v, u, row_bias, col_bias), needed, strict=True)
    ]
    with torch.autocast(q.device.type, enabled=False):
        for batch, part, memory in slices(q, k, 4 if rows and columns else 3):
            accumulate(source, rows, columns, made, batch, part, memory)
    return [q.new_empty(0) if x is None else x for x in made]


@torch.library.register_fake("midms::chunked_backward")
def _(
    q: Tensor, k: Tensor, v: Tensor, u: Tensor | None, row_bias: Tensor | None, col_bias: Tensor | None,
    scale: float, floor: float | None, results: list[Tensor], gradients: list[Tensor], needed: list[bool],
) -> list[Tensor]:  # fmt: skip
    inputs = zip((q, k.mT, v, u, row_bias, col_bias), needed, strict=True)
    return [q.new_empty(x.shape if x is not None and asked else (0,)) for x, asked in inputs]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *tensors, ctx.scale, ctx.floor, _, _ = inputs
    ctx.save_for_backward(*tensors, *output)
    ctx.set_materialize_grads(False)
    directions = [Result(*output[at : at + RESULTS]) for at in range(0, len(output), RESULTS)]
    ctx.mark_non_differentiable(*(x for one in directions for x in (one.argmax, one.top, one.total)))


def _backward(ctx: Any, gradients: list[Tensor | None]) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors  # a checkpoint gives them once
    inputs, results = saved[:6], list(saved[6:])
    nothing = inputs[0].new_empty(0)
    asked = [gradients[at + i] for at in range(0, len(results), RESULTS) for i in (0, 1, 2, 4)]
    filled = [nothing if gradient is None else gradient for gradient in asked]
    needed = list(ctx.needs_input_grad[:6])
    d_q, d_k, *others = attend_backward(*inputs, ctx.scale, ctx.floor, results, filled, needed)
    made = zip((d_q, d_k.mT if needed[1] else None, *others), needed, strict=True)
    return (*(d if asked else None for d, asked in made), *(None,) * 4)


torch.library.register_autograd("midms::chunked", _backward, setup_context=_remember)
torch.library.register_autograd("midms::chunked_backward", no_second_derivative)
