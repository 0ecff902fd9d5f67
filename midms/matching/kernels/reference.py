"""The specification. Every other implementation is tested against this file, values and gradients."""

from __future__ import annotations

from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core import flow
from midms.matching.kernels.records import Carried, Nearest

DENSE_ENTRIES = 1 << 28
"""The largest matrix that this agrees to make: 1 GiB in float32, and it makes several."""

SPLIT_SCALE = 64.0
"""Unit features are multiplied by it before they are split into two halves, so that the small one is no denormal."""

PARTS = {"ieee": (torch.float32, 1), "tf32": (torch.float32, 1), "bf16": (torch.bfloat16, 1)} | {
    name: (torch.float16, count) for name, count in (("fp16", 1), ("fp16x2k", 2), ("fp16x3", 2))
}
"""What each precision's products read: a dtype, and into how many terms of it a feature is split."""


def objections(operation: str, *operands: Tensor, precision: str) -> list[str]:
    """Why it will not run; none means it will."""
    if operation in ("check", "prepare"):
        return []
    reasons = [] if precision in ("auto", "ieee") else [f"computes in ieee precision, not {precision}"]
    entries = len(operands[0]) * operands[0].shape[1] * operands[1].shape[1]
    if entries > DENSE_ENTRIES:
        reasons.append(f"the matrix would have {entries:,} entries, more than {DENSE_ENTRIES:,}")
    return reasons


def couple(
    q: Float[Tensor, "b n d"],
    k: Float[Tensor, "b m d"],
    v: Float[Tensor, "b m c"],
    col_bias: Float[Tensor, "b m"] | None,
    scale: float,
    floor: float | None,
    also: Collection[str],
    precision: str,
) -> Carried:
    """P = softmax_j(scale * max(<q_i, k_j>, floor) + col_bias_j), applied to v.

    Args:
        q: rows.
        k: columns.
        v: values of the columns.
        col_bias: added to each column's logits; None for none. A column at -inf takes no part; not all of them may be.
        scale: one over the temperature.
        floor: lowest inner product, or None. Its gradient is that of `clamp`.
        also: which of `STATISTICS`; the peak's gradient is that of its first best column.
        precision: of the products; this computes in float32 or better, since a scale of 200 magnifies rounding.

    Returns:
        The values carried to the rows, their logsumexp, and what else was asked for.
    """
    return _read(_products(q, k, scale, floor), v, col_bias, also)


def couple_both(
    q: Float[Tensor, "b n d"],
    k: Float[Tensor, "b m d"],
    v: Float[Tensor, "b m c"],
    u: Float[Tensor, "b n e"],
    row_bias: Float[Tensor, "b n"] | None,
    col_bias: Float[Tensor, "b m"] | None,
    scale: float,
    floor: float | None,
    also: Collection[str],
    precision: str,
) -> tuple[Carried, Carried]:
    """`couple` of q with k, and of k with q: what v gives the rows, what u gives the columns.

    Each direction's logits have the bias of the side that it reads: the rows' have col_bias, the columns' row_bias.
    """
    logits = _products(q, k, scale, floor)
    return _read(logits, v, col_bias, also), _read(logits.mT, u, row_bias, also)


def top_k(q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], count: int, precision: str) -> Nearest:
    """Each row's `count` columns of largest inner product, best first; exact to float32 whatever the precision."""
    return Nearest(*_products(q, k, 1.0, None).detach().topk(count, -1))


def mutual_nearest(q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], precision: str) -> Nearest:
    """Each row's best column where the row is that column's best too, else -1; exact to float32."""
    products = _products(q, k, 1.0, None).detach()
    scores, best = products.max(-1)
    home = products.argmax(1).gather(1, best)
    return Nearest(scores, best.where(home == torch.arange(q.shape[1], device=q.device), -1))


def check(
    forward: Float[Tensor, "b 2 h w"], backward: Float[Tensor, "b 2 H W"], radius: float
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """`flow.return_error`, and 1 where it is under the radius, else 0."""
    error = flow.return_error(forward, backward)
    return error, (error < radius).to(error.dtype)


def prepare(
    x: Float[Tensor, "b d h w"], centre: bool, precision: str, eps: float
) -> tuple[Float[Tensor, "b n d"], ...]:
    """Features as the products of a precision read them: centred on request, of unit length, cast, split.

    Args:
        x: features.
        centre: subtract each cell's mean over the channels first, as MIDMs does.
        precision: a key of `PARTS`.
        eps: a cell that is shorter, or holds a NaN or an infinity, becomes zero and gets no gradient.

    Returns:
        One tensor, or two whose sum is the feature times `SPLIT_SCALE`, each rounded to nearest; row by row.
    """
    precise = torch.where(x.isfinite().all(1, keepdim=True), x, 0).to(torch.promote_types(x.dtype, torch.float32))
    if centre:
        precise = precise - precise.mean(1, keepdim=True)
    length = torch.linalg.vector_norm(precise, dim=1, keepdim=True)
    spoken = length > eps
    rest = (torch.where(spoken, precise, 0) / torch.where(spoken, length, 1)).flatten(2).mT
    dtype, count = PARTS[precision]
    if count == 1:
        return (rest if dtype == torch.float32 else rest.to(dtype),)
    rest = rest * SPLIT_SCALE
    large = rest.to(dtype)
    return large, (rest - large).to(dtype)


def _products(q: Tensor, k: Tensor, scale: float, floor: float | None) -> Tensor:
    precise = torch.promote_types(q.dtype, torch.float32)
    products = q.to(precise) @ k.to(precise).mT
    if floor is not None:  # a product that is the floor has a gradient; whether clamp gives it depends on torch
        products = torch.where(products < floor, floor, products)
    return scale * products


def _read(logits: Tensor, values: Tensor, bias: Tensor | None, also: Collection[str]) -> Carried:
    if bias is not None:
        logits = logits + bias[:, None].to(logits.dtype)
    coupling, mass = logits.softmax(-1), logits.logsumexp(-1)
    best = logits.argmax(-1)
    return Carried(
        (coupling @ values.to(logits.dtype)).to(values.dtype),
        mass,
        coupling.gather(-1, best[..., None])[..., 0] if "peak" in also else None,
        best if "argmax" in also else None,
        mass - (coupling * logits.clamp(min=-1e30)).sum(-1) if "entropy" in also else None,
    )
