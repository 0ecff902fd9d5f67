"""The specification. Every other implementation is tested against this file, values and gradients."""

from __future__ import annotations

from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.flow import cycle_of_flows as cycle
from midms.matching.kernels.records import Attended, NearestCells

__all__ = ["attend", "attend_both", "cycle", "mutual_nearest", "top_k", "unsupported"]

DENSE_ENTRIES = 1 << 28
"""The largest matrix that this agrees to make: 1 GiB in float32, and it makes several."""


def unsupported(operation: str, *operands: Tensor, precision: str) -> list[str]:
    """Why it will not run; none means it will."""
    if operation == "cycle":
        return []
    reasons = [] if precision in ("auto", "ieee") else [f"computes in ieee precision, not {precision}"]
    entries = len(operands[0]) * operands[0].shape[1] * operands[1].shape[1]
    if entries > DENSE_ENTRIES:
        reasons.append(f"the matrix would have {entries:,} entries, more than {DENSE_ENTRIES:,}")
    return reasons


def attend(
    q: Float[Tensor, "b n d"],
    k: Float[Tensor, "b m d"],
    v: Float[Tensor, "b m c"],
    col_bias: Float[Tensor, "b m"] | None,
    scale: float,
    floor: float | None,
    stats: Collection[str],
    precision: str,
) -> Attended:
    """P = softmax_j(scale * max(<q_i, k_j>, floor) + col_bias_j), applied to v.

    Args:
        q: rows.
        k: columns.
        v: values of the columns.
        col_bias: added to each column's logits; None for none. A column at -inf takes no part; not all of them may be.
        scale: one over the temperature.
        floor: lowest inner product, or None. Its gradient is that of `clamp`.
        stats: which of `STATISTICS`; the peak's gradient is that of its first best column.
        precision: of the products; this computes in float32 or better, since a scale of 200 magnifies rounding.

    Returns:
        P v, the logsumexp of each row's logits, and the statistics that were asked for.
    """
    return _attended(_products(q, k, scale, floor), v, col_bias, stats)


def attend_both(
    q: Float[Tensor, "b n d"],
    k: Float[Tensor, "b m d"],
    v: Float[Tensor, "b m c"],
    u: Float[Tensor, "b n e"],
    row_bias: Float[Tensor, "b n"] | None,
    col_bias: Float[Tensor, "b m"] | None,
    scale: float,
    floor: float | None,
    stats: Collection[str],
    precision: str,
) -> tuple[Attended, Attended]:
    """`attend` of q with k, and of k with q: what v gives the rows, what u gives the columns.

    Each direction's logits have the bias of the side that it reads: the rows' have col_bias, the columns' row_bias.
    """
    logits = _products(q, k, scale, floor)
    return _attended(logits, v, col_bias, stats), _attended(logits.mT, u, row_bias, stats)


def top_k(q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], count: int, precision: str) -> NearestCells:
    """Each row's `count` columns of largest inner product, best first; exact to float32 whatever the precision."""
    return NearestCells(*_products(q, k, 1.0, None).detach().topk(count, -1))


def mutual_nearest(q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], precision: str) -> NearestCells:
    """Each row's best column where the row is that column's best too, else -1; exact to float32."""
    products = _products(q, k, 1.0, None).detach()
    scores, best = products.max(-1)
    home = products.argmax(1).gather(1, best)
    return NearestCells(scores, best.where(home == torch.arange(q.shape[1], device=q.device), -1))


def _products(q: Tensor, k: Tensor, scale: float, floor: float | None) -> Tensor:
    precise = torch.promote_types(q.dtype, torch.float32)
    products = q.to(precise) @ k.to(precise).mT
    if floor is not None:  # a product that is the floor has a gradient; whether clamp gives it depends on torch
        products = torch.where(products < floor, floor, products)
    return scale * products


def _attended(logits: Tensor, values: Tensor, bias: Tensor | None, stats: Collection[str]) -> Attended:
    if bias is not None:
        logits = logits + bias[:, None].to(logits.dtype)
    coupling, logsumexp = logits.softmax(-1), logits.logsumexp(-1)
    best = logits.argmax(-1)
    return Attended(
        (coupling @ values.to(logits.dtype)).to(values.dtype),
        logsumexp,
        coupling.gather(-1, best[..., None])[..., 0] if "peak" in stats else None,
        best if "argmax" in stats else None,
        logsumexp - (coupling * logits.clamp(min=-1e30)).sum(-1) if "entropy" in stats else None,
    )
