"""The operations as callers see them: checked, with defaults, and whichever implementation suits."""

from __future__ import annotations

from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor

from midms.matching.kernels.dispatch import run
from midms.matching.kernels.records import STATISTICS, Attended, NearestCells
from midms.matching.kernels.validate import validate, validate_maps


def attend(
    q: Float[Tensor, "b n d"],
    k: Float[Tensor, "b m d"],
    v: Float[Tensor, "b m c"],
    col_bias: Float[Tensor, "b m"] | None,
    scale: float,
    floor: float | None = None,
    backend: str = "auto",
    precision: str = "auto",
) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b n"]]:
    """softmax_j(scale * max(<q_i, k_j>, floor) + col_bias_j) v_j, and the rows' logsumexp.

    `reference.attend` says exactly what is computed. Autocast is ignored.

    Args:
        q: rows, finite, as `l2_normalize` makes them.
        k: columns, likewise.
        v: values of the columns.
        col_bias: added to each column's logits; None for none. A column at -inf takes no part; where all are, the rows
            get zeros and -inf as their logsumexp.
        scale: one over the temperature.
        floor: lowest inner product, or None.
        backend: an implementation's name, or "auto" for the first that can run.
        precision: of the products of q and k, see `dispatch.PRECISIONS`.

    Returns:
        The expectation of the values under each row, in `v`'s precision, and the logsumexp, in float32 or better.

    Raises:
        ValueError: the operands do not fit together, the scale is not positive and finite, the floor not finite, or
            there is no such precision.
        NoImplementation: the one asked for is unknown or objects; it never falls back.
    """
    found = statistics(q, k, v, col_bias, scale, floor, backend, precision, stats=())
    return found.values, found.logsumexp


def statistics(
    q: Float[Tensor, "b n d"],
    k: Float[Tensor, "b m d"],
    v: Float[Tensor, "b m c"] | None,
    col_bias: Float[Tensor, "b m"] | None,
    scale: float,
    floor: float | None = None,
    backend: str = "auto",
    precision: str = "auto",
    stats: Collection[str] = STATISTICS,
) -> Attended:
    """`attend`, and what else one pass can tell of each row. Where no column takes part, all is 0 but the logsumexp.

    Args:
        q: rows.
        k: columns.
        v: values of the columns; None for none.
        col_bias: as in `attend`.
        scale: one over the temperature.
        floor: lowest inner product, or None.
        backend: as in `attend`.
        precision: as in `attend`.
        stats: which of `STATISTICS`.

    Returns:
        Values, logsumexp and statistics; each but the argmax has gradients.
    """
    v, stats = _none_of(k) if v is None else v, tuple(stats)
    validate(stats, scale, floor, q=(q, "b n d"), k=(k, "b m d"), v=(v, "b m c"), col_bias=(col_bias, "b m"))
    v, bias, empty = _taking_part(v, col_bias)
    return _zero_empty(
        run("attend", backend, precision, (q, k, v), q, k, v, bias, scale, floor, stats, precision), empty
    )


def attend_both(
    q: Float[Tensor, "b n d"],
    k: Float[Tensor, "b m d"],
    v: Float[Tensor, "b m c"] | None,
    u: Float[Tensor, "b n e"] | None,
    row_bias: Float[Tensor, "b n"] | None,
    col_bias: Float[Tensor, "b m"] | None,
    scale: float,
    floor: float | None = None,
    backend: str = "auto",
    precision: str = "auto",
    stats: Collection[str] = (),
) -> tuple[Attended, Attended]:
    """`statistics` of (q, k, v, col_bias) and of (k, q, u, row_bias), from one product of q and k.

    Args:
        q: rows.
        k: columns.
        v: values of the columns, which the rows get; None for none.
        u: values of the rows, which the columns get; None for none.
        row_bias: added to the logits that the columns read.
        col_bias: added to the logits that the rows read.
        scale: one over the temperature.
        floor: lowest inner product, or None.
        backend: as in `attend`.
        precision: as in `attend`.
        stats: which of `STATISTICS`.

    Returns:
        What the rows get, and what the columns get.
    """
    v, u, stats = _none_of(k) if v is None else v, _none_of(q) if u is None else u, tuple(stats)
    biases = {"row_bias": (row_bias, "b n"), "col_bias": (col_bias, "b m")}
    validate(stats, scale, floor, q=(q, "b n d"), k=(k, "b m d"), v=(v, "b m c"), u=(u, "b n e"), **biases)
    (v, columns, no_column), (u, rows, no_row) = _taking_part(v, col_bias), _taking_part(u, row_bias)
    both = run(
        "attend_both", backend, precision, (q, k, v, u), q, k, v, u, rows, columns, scale, floor, stats, precision
    )
    return _zero_empty(both[0], no_column), _zero_empty(both[1], no_row)


def logsumexp(
    q: Float[Tensor, "b n d"],
    k: Float[Tensor, "b m d"],
    col_bias: Float[Tensor, "b m"] | None,
    scale: float,
    floor: float | None = None,
    backend: str = "auto",
    precision: str = "auto",
) -> Float[Tensor, "b n"]:
    """The second result of `attend` alone."""
    return statistics(q, k, None, col_bias, scale, floor, backend, precision, stats=()).logsumexp


def logsumexp_both(
    q: Float[Tensor, "b n d"],
    k: Float[Tensor, "b m d"],
    row_bias: Float[Tensor, "b n"] | None,
    col_bias: Float[Tensor, "b m"] | None,
    scale: float,
    floor: float | None = None,
    backend: str = "auto",
    precision: str = "auto",
) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b m"]]:
    """The rows' logsumexp with col_bias and the columns' with row_bias: one step of symmetric Sinkhorn."""
    rows, columns = attend_both(q, k, None, None, row_bias, col_bias, scale, floor, backend, precision)
    return rows.logsumexp, columns.logsumexp


def top_k(
    q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], count: int, backend: str = "auto", precision: str = "auto"
) -> NearestCells:
    """Each row's `count` columns of largest inner product, best first.

    Args:
        q: rows.
        k: columns.
        count: from 1 to the number of columns.
        backend: as in `attend`.
        precision: of a first pass; the result is exact to float32 whatever it is.

    Returns:
        [b n count] scores, without gradient, and columns.

    Raises:
        ValueError: the shapes do not fit together, or there are not so many columns.
    """
    validate((), 1.0, None, q=(q, "b n d"), k=(k, "b m d"))
    if not 1 <= count <= k.shape[1]:
        raise ValueError(f"count: expected 1 to {k.shape[1]}, the number of columns, got {count}")
    nearest: NearestCells = run("top_k", backend, precision, (q, k), q, k, count, precision)
    return nearest


def mutual_nearest(
    q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], backend: str = "auto", precision: str = "auto"
) -> NearestCells:
    """Each row's best column where the row is that column's best too, else -1; as exact as `top_k`.

    Args:
        q: rows.
        k: columns.
        backend: as in `attend`.
        precision: as in `top_k`.

    Returns:
        [b n] scores of each row's best column, without gradient, and that column or -1.
    """
    validate((), 1.0, None, q=(q, "b n d"), k=(k, "b m d"))
    nearest: NearestCells = run("mutual_nearest", backend, precision, (q, k), q, k, precision)
    return nearest


def cycle(
    forward: Float[Tensor, "b 2 h w"], backward: Float[Tensor, "b 2 H W"], radius: float, backend: str = "auto"
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """How far from itself each cell comes back, and 1 where that is under the radius, else 0; see `flow.return_error`.

    Args:
        forward: (x, y), in cells, that each cell of the first grid is matched to in the second.
        backward: the same from the second to the first.
        radius: in widths of the first grid.
        backend: as in `attend`.

    Returns:
        Errors in widths, and the mask in their precision.

    Raises:
        ValueError: they are no maps of one batch, on one device.
    """
    validate_maps(forward, backward)
    error, mask = run("cycle", backend, "auto", (forward, backward), forward, backward, radius)
    return error, mask


def _none_of(x: Tensor) -> Tensor:
    return x.new_empty(*x.shape[:2], 0)


def _taking_part(values: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Values that are 0 where the bias is -inf, the bias with 0 where a whole sample is, and which samples are."""
    if bias is None:
        return values, None, None
    absent = bias == -torch.inf
    empty = absent.all(1, keepdim=True)
    return (
        values.masked_fill(absent[..., None], 0),
        bias.masked_fill(absent, -torch.inf).masked_fill(empty, 0),
        empty,
    )


def _zero_empty(found: Attended, empty: Tensor | None) -> Attended:
    """What attention finds, 0 in samples all of whose columns are absent: no weight has a sum there."""
    if empty is None:
        return found
    values, logsumexp, *rest = found
    blank = [None if x is None else x.masked_fill(empty, 0) for x in rest]
    return Attended(values.masked_fill(empty[..., None], 0), logsumexp.masked_fill(empty, -torch.inf), *blank)  # type: ignore[arg-type]
