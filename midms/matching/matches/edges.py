"""Sums over the entries of a sparse matrix, without a tensor of entries times channels.

An entry, or edge, is a row and a column. The two operations are each other's gradients, so both can be differentiated
as often as one likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

ENTRIES = 1 << 22
"""Numbers gathered at once."""


def edge_dot(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], rows: Int[Tensor, " e"], columns: Int[Tensor, " e"]
) -> Float[Tensor, " e"]:
    """<a_row, b_column> of each edge."""
    products: Tensor = _Dot.apply(a, b, rows, columns)
    return products


def edge_sum(
    weights: Float[Tensor, " e"],
    values: Float[Tensor, "m c"],
    rows: Int[Tensor, " e"],
    columns: Int[Tensor, " e"],
    count: int,
) -> Float[Tensor, "n c"]:
    """The sum of weight * values_column over each row's edges, for `count` rows."""
    sums: Tensor = _Sum.apply(weights, values, rows, columns, count)
    return sums


class _Dot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        ctx.save_for_backward(a, b, rows, columns)
        out = a.new_empty(len(rows))
        for block in _blocks(len(rows), a.shape[1]):
            out[block] = (a[rows[block]] * b[columns[block]]).sum(1)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        a, b, rows, columns = ctx.saved_tensors
        d_a = edge_sum(gradient, b, rows, columns, len(a)) if ctx.needs_input_grad[0] else None
        d_b = edge_sum(gradient, a, columns, rows, len(b)) if ctx.needs_input_grad[1] else None
        return d_a, d_b, None, None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, values: Tensor, rows: Tensor, columns: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(weights, values, rows, columns)
        out = values.new_zeros(count, values.shape[1])
        for block in _blocks(len(rows), values.shape[1]):
            out.index_add_(0, rows[block], weights[block, None] * values[columns[block]])
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weights, values, rows, columns = ctx.saved_tensors
        d_weights = edge_dot(gradient, values, rows, columns) if ctx.needs_input_grad[0] else None
        d_values = edge_sum(weights, gradient, columns, rows, len(values)) if ctx.needs_input_grad[1] else None
        return d_weights, d_values, None, None, None


def _blocks(edges: int, width: int) -> Iterator[slice]:
    step = max(1, ENTRIES // max(1, width))
    return (slice(start, start + step) for start in range(0, edges, step))
