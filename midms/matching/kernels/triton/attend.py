"""`attend` and `attend_both` as an operator of torch, with its gradient, so that torch.compile passes through it."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from midms.matching.kernels.triton.attend_backward import backward
from midms.matching.kernels.triton.attend_forward import forward
from midms.matching.kernels.triton.combine import Result
from midms.matching.kernels.triton.configs import BACKWARD, choose
from midms.matching.kernels.triton.logit_grad import LogitGrad, Packed, from_fields, logit_grad, packed, shrinkage
from midms.matching.kernels.triton.options import Direction, Options
from midms.matching.kernels.triton.pack import LN2, factor, pack_features
from midms.matching.kernels.triton.tuning import tuned
from midms.matching.kernels.validate import no_second_derivative

RESULTS = 5
"""Tensors of a direction: values, logsumexp, peak, argmax, entropy; empty where not asked for."""

LIFTED = 2.0**12
"""What the kernel's gradients are too large by, see `tiles.LIFT`."""

_INPUTS = (
    "Tensor q, Tensor k, Tensor v, Tensor? u, Tensor? row_bias, Tensor? col_bias, "
    "float scale, float? floor, str precision"
)


@torch.library.custom_op("midms::attend", mutates_args=(), schema=f"({_INPUTS}, bool argmax, bool entropy) -> Tensor[]")
def attend(
    q: Tensor, k: Tensor, v: Tensor, u: Tensor | None, row_bias: Tensor | None, col_bias: Tensor | None,
    scale: float, floor: float | None, precision: str, argmax: bool, entropy: bool,
) -> list[Tensor]:  # fmt: skip
    """Attention of the rows and, if there is a u, of the columns: `RESULTS` each, float32."""
    options = Options(scale, floor, precision, argmax, entropy)
    spec = options.spec
    rows = pack_features(q, spec, spec.row_parts if u is None else spec.parts)
    columns = pack_features(k, spec, spec.parts)
    directions = [Direction(rows, columns, v, col_bias)]
    if u is not None:
        directions.append(Direction(columns, rows, u, row_bias))
    return [x for result in forward(options, directions) for x in _results(result)]


def _results(result: Result) -> tuple[Tensor, ...]:
    peak = (result.top - result.logsumexp).exp2() if result.top.numel() else result.top
    return result.values, result.logsumexp * LN2, peak, result.best.long(), result.entropy * LN2


@attend.register_fake
def _(
    q: Tensor, k: Tensor, v: Tensor, u: Tensor | None, row_bias: Tensor | None, col_bias: Tensor | None,
    scale: float, floor: float | None, precision: str, argmax: bool, entropy: bool,
) -> list[Tensor]:  # fmt: skip
    results = []
    for side, values in ((q, v),) if u is None else ((q, v), (k, u)):
        shape = side.shape[:2]
        ranked, spread = (shape if argmax else (0,)), (shape if entropy else (0,))
        for sizes in ((*shape, values.shape[2]), shape, ranked):
            results.append(q.new_empty(sizes, dtype=torch.float32))
        results.append(q.new_empty(ranked, dtype=torch.long))
        results.append(q.new_empty(spread, dtype=torch.float32))
    return results


@torch.library.custom_op(
    "midms::attend_backward",
    mutates_args=(),
    schema=f"({_INPUTS}, Tensor[] rows, Tensor[] columns, bool[] needed) -> Tensor[]",
)
def attend_backward(
    q: Tensor, k: Tensor, v: Tensor, u: Tensor | None, row_bias: Tensor | None, col_bias: Tensor | None,
    scale: float, floor: float | None, precision: str, rows: list[Tensor], columns: list[Tensor], needed: list[bool],
) -> list[Tensor]:  # fmt: skip
    """Gradients of q, k, v, u, row_bias, col_bias, those needed; the others are empty.

    `rows` has the fields of a `LogitGrad`, empty for None, or none where nothing comes back from what the rows read;
    `columns` likewise.
    """
    options = Options(scale, floor, precision)
    forth, back = from_fields(rows), from_fields(columns)
    apart = options.spec.row_parts != options.spec.column_parts  # each direction has its own products
    if forth and back and (apart or forth.statistics or back.statistics):
        common = (q, k, v, u, row_bias, col_bias, scale, floor, precision)
        one = attend_backward(*common, rows, [], needed)
        two = attend_backward(*common, [], columns, needed)
        return [x + y if x.numel() and y.numel() else x if x.numel() else y for x, y in zip(one, two, strict=True)]
    made = _gradients(options, q, k, v, u, row_bias, col_bias, forth, back, needed)
    inputs = (q, k, v, u, row_bias, col_bias)
    return [
        q.new_empty(0) if not asked or x is None else x.new_zeros(x.shape) if d is None else d.to(x.dtype)
        for x, d, asked in zip(inputs, made, needed, strict=True)
    ]


def _gradients(
    options: Options, q: Tensor, k: Tensor, v: Tensor, u: Tensor | None,
    row_bias: Tensor | None, col_bias: Tensor | None,
    forth: LogitGrad | None, back: LogitGrad | None, needed: list[bool],
) -> tuple[Tensor | None, ...]:  # fmt: skip
    spec = options.spec
    parts = (spec.row_parts, spec.column_parts) if forth else (spec.column_parts, spec.row_parts)
    a, b = pack_features(q, spec, parts[0]), pack_features(k, spec, parts[1])
    bounds = [grad.bound(values) for grad, values in ((forth, v), (back, u)) if grad is not None and values is not None]
    shrink = shrinkage(bounds)
    rows_attend = None if forth is None else packed(options, v, col_bias, forth, shrink)
    columns_attend = None if back is None or u is None else packed(options, u, row_bias, back, shrink)
    width = q.shape[2]
    d_q = d_u = d_row = d_k = d_v = d_col = None
    need_q, need_k, need_v, need_u, need_row, need_col = needed
    of_rows = Needed(need_q, need_u and columns_attend is not None, need_row and columns_attend is not None)
    of_columns = Needed(need_k, need_v and rows_attend is not None, need_col and rows_attend is not None)
    if any(of_rows):
        d_q, d_u, d_row = gradients(options, a, b, parts, rows_attend, columns_attend, shrink, of_rows)
    if any(of_columns):
        d_k, d_v, d_col = gradients(options, b, a, parts[::-1], columns_attend, rows_attend, shrink, of_columns)
    return (
        None if d_q is None else d_q[..., :width],
        None if d_k is None else d_k[..., :width],
        d_v, d_u, d_row, d_col,
    )  # fmt: skip


class Needed(NamedTuple):
    """Which gradients of a side are needed."""

    features: bool
    values: bool
    bias: bool


class Gradients(NamedTuple):
    """The gradients of a side: [b n width], [b n c], [b n], None for those that were not needed."""

    features: Tensor | None
    values: Tensor | None
    bias: Tensor | None


def gradients(
    options: Options, a: Tensor, b: Tensor, parts: tuple[int, int], a_attends: Packed | None, b_attends: Packed | None,
    shrink: Tensor, needed: Needed,
) -> Gradients:  # fmt: skip
    """Gradients of side a [parts b n width], whose other side is b [parts b m width].

    Args:
        options: of the logits.
        a: packed features.
        b: packed features.
        parts: how many parts of a and of b are multiplied.
        a_attends: the direction in which a attends to b, or None.
        b_attends: that in which b attends to a, or None; a's values and bias have their gradients from this one alone.
        shrink: [b] what the gradients in both are multiplied by.
        needed: which gradients.

    Returns:
        The gradients, without that factor.
    """
    widest = max(side.width for side in (a_attends, b_attends) if side is not None)
    tile = choose(BACKWARD, options.precision, a.device, widest, a.shape[1] * a.shape[2])
    value_width = b_attends.width if b_attends is not None and needed.values else 0
    together = b_attends is not None and value_width <= tile.values and value_width == b_attends.piece
    piece = min(b_attends.piece, tile.alone) if b_attends is not None else 0
    launch = partial(backward, options, a, b, parts, a_attends, b_attends)
    asked = needed.features, needed.bias, value_width if together else 0
    tried = asked if any(asked) else (False, False, piece)
    key = options, a.shape, b.shape, widest, a_attends is None, b_attends is None, tried
    launch = partial(launch, tuned(key, tile, a.device, lambda other: launch(other, *tried)))
    features = bias = values = None
    undo = 1 / (LIFTED * shrink)
    if any(asked):
        features, bias, values = launch(*asked)
    if value_width and not together:
        pieces = [launch(False, False, piece, start)[2] for start in range(0, value_width, piece)]
        values = torch.cat([one for one in pieces if one is not None], 2)
    if features is not None:
        features = features * (undo * (options.scale / factor(options.spec)))[:, None, None]
    if values is not None and b_attends is not None:
        values = values[..., : b_attends.value_scale.shape[1]] * (undo[:, None] / b_attends.value_scale)[:, None]
    return Gradients(features, values, None if bias is None else bias * undo[:, None])


@attend_backward.register_fake
def _(
    q: Tensor, k: Tensor, v: Tensor, u: Tensor | None, row_bias: Tensor | None, col_bias: Tensor | None,
    scale: float, floor: float | None, precision: str, rows: list[Tensor], columns: list[Tensor], needed: list[bool],
) -> list[Tensor]:  # fmt: skip
    inputs = (q, k, v, u, row_bias, col_bias)
    return [
        q.new_empty(0) if not asked or x is None else torch.empty_like(x, memory_format=torch.contiguous_format)
        for x, asked in zip(inputs, needed, strict=True)
    ]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *tensors, ctx.scale, ctx.floor, ctx.precision, _, _ = inputs
    ctx.save_for_backward(*tensors, *output)
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*output[3::RESULTS])


def _backward(ctx: Any, gradients: list[Tensor | None]) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors  # a checkpoint gives them once
    inputs, results = saved[:6], list(saved[6:])
    needed = list(ctx.needs_input_grad[:6])
    rows = logit_grad(results[:RESULTS], gradients[:RESULTS])
    columns = logit_grad(results[RESULTS:], gradients[RESULTS:]) if len(results) > RESULTS else []
    if not rows and not columns:
        return (None,) * 11
    made = attend_backward(*inputs, ctx.scale, ctx.floor, ctx.precision, rows, columns, needed)
    return (*(d if asked else None for d, asked in zip(made, needed, strict=True)), *(None,) * 5)


attend.register_autograd(_backward, setup_context=_remember)
attend_backward.register_autograd(no_second_derivative)
