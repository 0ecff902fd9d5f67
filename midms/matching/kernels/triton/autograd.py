"""`couple` and `couple_both` as operators of torch, with gradients, so that torch.compile passes through them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from midms.matching.kernels.triton.couple import Direction, Read, Rule, read
from midms.matching.kernels.triton.gradients import Pull, Wanted, gradients, packed, shrinkage
from midms.matching.kernels.triton.pack import LN2, pack_features
from midms.matching.kernels.validate import refuse_twice

RESULTS = 5
"""Of a direction: values, mass, peak, argmax, entropy; empty where not asked for."""


_INPUTS = (
    "Tensor q, Tensor k, Tensor v, Tensor? u, Tensor? row_bias, Tensor? col_bias, "
    "float scale, float? floor, str precision"
)


@torch.library.custom_op("midms::couple", mutates_args=(), schema=f"({_INPUTS}, bool argmax, bool entropy) -> Tensor[]")
def couple(
    q: Tensor, k: Tensor, v: Tensor, u: Tensor | None, row_bias: Tensor | None, col_bias: Tensor | None,
    scale: float, floor: float | None, precision: str, argmax: bool, entropy: bool,
) -> list[Tensor]:  # fmt: skip
    """What the rows read and, if there is a u, what the columns read: `RESULTS` each, float32."""
    rule = Rule(scale, floor, precision, argmax, entropy)
    spec = rule.spec
    rows = pack_features(q, spec, spec.row_parts if u is None else spec.parts)
    columns = pack_features(k, spec, spec.parts)
    directions = [Direction(rows, columns, v, col_bias)]
    if u is not None:
        directions.append(Direction(columns, rows, u, row_bias))
    return [x for result in read(rule, directions) for x in _results(result)]


def _results(result: Read) -> tuple[Tensor, ...]:
    peak = (result.top - result.mass).exp2() if result.top.numel() else result.top
    return result.values, result.mass * LN2, peak, result.best.long(), result.spread * LN2


@couple.register_fake
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
    "midms::couple_backward",
    mutates_args=(),
    schema=f"({_INPUTS}, Tensor[] rows, Tensor[] columns, bool[] wanted) -> Tensor[]",
)
def couple_backward(
    q: Tensor, k: Tensor, v: Tensor, u: Tensor | None, row_bias: Tensor | None, col_bias: Tensor | None,
    scale: float, floor: float | None, precision: str, rows: list[Tensor], columns: list[Tensor], wanted: list[bool],
) -> list[Tensor]:  # fmt: skip
    """Gradients of q, k, v, u, row_bias, col_bias, those wanted; the others are empty.

    `rows` has the fields of a `Pull`, empty for None, or none where nothing comes back from what the rows read;
    `columns` likewise.
    """
    rule = Rule(scale, floor, precision)
    forth, back = _pull(rows), _pull(columns)
    apart = rule.spec.row_parts != rule.spec.column_parts  # each direction has its own products
    if forth and back and (apart or forth.statistics or back.statistics):
        common = (q, k, v, u, row_bias, col_bias, scale, floor, precision)
        one = couple_backward(*common, rows, [], wanted)
        two = couple_backward(*common, [], columns, wanted)
        return [x + y if x.numel() and y.numel() else x if x.numel() else y for x, y in zip(one, two, strict=True)]
    made = _gradients(rule, q, k, v, u, row_bias, col_bias, forth, back, wanted)
    inputs = (q, k, v, u, row_bias, col_bias)
    return [
        q.new_empty(0) if not asked or x is None else x.new_zeros(x.shape) if d is None else d.to(x.dtype)
        for x, d, asked in zip(inputs, made, wanted, strict=True)
    ]


def _gradients(
    rule: Rule, q: Tensor, k: Tensor, v: Tensor, u: Tensor | None, row_bias: Tensor | None, col_bias: Tensor | None,
    forth: Pull | None, back: Pull | None, wanted: list[bool],
) -> tuple[Tensor | None, ...]:  # fmt: skip
    spec = rule.spec
    parts = (spec.row_parts, spec.column_parts) if forth else (spec.column_parts, spec.row_parts)
    a, b = pack_features(q, spec, parts[0]), pack_features(k, spec, parts[1])
    bounds = [pull.bound(values) for pull, values in ((forth, v), (back, u)) if pull is not None and values is not None]
    shrink = shrinkage(bounds)
    rows_read = None if forth is None else packed(rule, v, col_bias, forth, shrink)
    columns_read = None if back is None or u is None else packed(rule, u, row_bias, back, shrink)
    width = q.shape[2]
    d_q = d_u = d_row = d_k = d_v = d_col = None
    want_q, want_k, want_v, want_u, want_row, want_col = wanted
    of_rows = Wanted(want_q, want_u and columns_read is not None, want_row and columns_read is not None)
    of_columns = Wanted(want_k, want_v and rows_read is not None, want_col and rows_read is not None)
    if any(of_rows):
        d_q, d_u, d_row = gradients(rule, a, b, parts, rows_read, columns_read, shrink, of_rows)
    if any(of_columns):
        d_k, d_v, d_col = gradients(rule, b, a, parts[::-1], columns_read, rows_read, shrink, of_columns)
    return (
        None if d_q is None else d_q[..., :width],
        None if d_k is None else d_k[..., :width],
        d_v, d_u, d_row, d_col,
    )  # fmt: skip


@couple_backward.register_fake
def _(
    q: Tensor, k: Tensor, v: Tensor, u: Tensor | None, row_bias: Tensor | None, col_bias: Tensor | None,
    scale: float, floor: float | None, precision: str, rows: list[Tensor], columns: list[Tensor], wanted: list[bool],
) -> list[Tensor]:  # fmt: skip
    inputs = (q, k, v, u, row_bias, col_bias)
    return [
        q.new_empty(0) if not asked or x is None else torch.empty_like(x, memory_format=torch.contiguous_format)
        for x, asked in zip(inputs, wanted, strict=True)
    ]


def _pull(fields: list[Tensor]) -> Pull | None:
    if not fields:
        return None
    d_out, tilt, mass, *rest = fields
    return Pull(d_out, tilt, mass, *(x if x.numel() else None for x in rest))


def pull(results: list[Tensor], d_results: list[Tensor | None]) -> list[Tensor]:
    """The fields of a `Pull`, empty for None; none at all where nothing comes back.

    With E the expected logit: d mass gives P, d peak gives peak * ([j is best] - P), d entropy gives P * (E - logit).
    """
    if all(d is None for d in d_results):
        return []
    out, mass, peak, argmax, entropy = results
    d_out, d_mass, d_peak, _, d_entropy = d_results
    nothing = mass.new_empty(0)
    warmth, at_best, best = nothing, nothing, nothing
    tilt = torch.zeros_like(mass) if d_mass is None else d_mass
    if d_entropy is not None and entropy.numel():
        warmth = -d_entropy
        tilt = tilt + d_entropy * (mass - entropy)
    if d_peak is not None and peak.numel():
        at_best, best = d_peak * peak, argmax
        tilt = tilt - at_best
    d_out = torch.zeros_like(out) if d_out is None else d_out
    return [d_out, tilt - (d_out * out).sum(-1), mass, warmth, at_best, best]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    *tensors, ctx.scale, ctx.floor, ctx.precision, _, _ = inputs
    ctx.save_for_backward(*tensors, *output)
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(*output[3::RESULTS])


def _backward(ctx: Any, gradients: list[Tensor | None]) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors  # a checkpoint gives them once
    inputs, results = saved[:6], list(saved[6:])
    wanted = list(ctx.needs_input_grad[:6])
    rows = pull(results[:RESULTS], gradients[:RESULTS])
    columns = pull(results[RESULTS:], gradients[RESULTS:]) if len(results) > RESULTS else []
    if not rows and not columns:
        return (None,) * 11
    made = couple_backward(*inputs, ctx.scale, ctx.floor, ctx.precision, rows, columns, wanted)
    return (*(d if asked else None for d, asked in zip(made, wanted, strict=True)), *(None,) * 5)


couple.register_autograd(_backward, setup_context=_remember)
couple_backward.register_autograd(refuse_twice)
