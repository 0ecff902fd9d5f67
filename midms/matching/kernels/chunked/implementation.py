"""Plain torch on any device: the matrix is made slice by slice, and again in the backward pass; never n x m.

One product of q and k serves both directions: a slice holds whole rows, so theirs is an ordinary softmax, while the
columns keep a running maximum and running sums, as in FlashAttention (Dao et al. 2022, arXiv:2205.14135, alg. 1). The
backward pass makes each slice again instead of keeping it (alg. 4). Inside, channels come first: that is how features
and values arrive, and products with a few values are several times quicker so; logits are in base 2.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor

from midms.matching.kernels.chunked import autograd as chunked_autograd
from midms.matching.kernels.chunked.passes import Side
from midms.matching.kernels.chunked.slices import products, slices
from midms.matching.kernels.records import STATISTICS, Carried, Nearest
from midms.matching.kernels.reference import check, prepare

__all__ = ["check", "couple", "couple_both", "mutual_nearest", "objections", "prepare", "top_k"]


def objections(operation: str, *operands: Tensor, precision: str) -> list[str]:
    """Why it will not run; none means it will."""
    if operation == "prepare" or precision in ("auto", "ieee"):
        return []
    return [f"computes in ieee precision, not {precision}"]


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
    """See `reference.couple`. Differentiable once."""
    operands = _channels_first(q, k, v)
    ranked = "peak" in also or "argmax" in also
    results = chunked_autograd.couple(
        *operands, None, None, _precise(col_bias), scale, floor, ranked, "entropy" in also
    )
    return _carried(results, v, also)


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
    """See `reference.couple_both`. Differentiable once."""
    operands = _channels_first(q, k, v, u)
    biases, ranked = (_precise(row_bias), _precise(col_bias)), "peak" in also or "argmax" in also
    results = chunked_autograd.couple(*operands, *biases, scale, floor, ranked, "entropy" in also)
    there, back = results[: chunked_autograd.RESULTS], results[chunked_autograd.RESULTS :]
    return _carried(there, v, also), _carried(back, u, also)


@torch.no_grad()
def top_k(q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], count: int, precision: str) -> Nearest:
    """See `reference.top_k`."""
    q, k = _channels_first(q, k)
    scores = q.new_empty(len(q), q.shape[2], count)
    indices = torch.empty(scores.shape, dtype=torch.long, device=q.device)
    for batch, rows, (found,) in slices(q, k, 1):
        scores[batch, rows], indices[batch, rows] = products(q, k, batch, rows, found).topk(count, -1)
    return Nearest(scores, indices)


@torch.no_grad()
def mutual_nearest(q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], precision: str) -> Nearest:
    """See `reference.mutual_nearest`."""
    q, k = _channels_first(q, k)
    (b, _, n), m = q.shape, k.shape[2]
    scores, best = q.new_empty(b, n), torch.empty(b, n, dtype=torch.long, device=q.device)
    top, home = q.new_full((b, m), -torch.inf), torch.zeros(b, m, dtype=torch.long, device=q.device)
    for batch, rows, (found,) in slices(q, k, 1):
        products(q, k, batch, rows, found)
        scores[batch, rows], best[batch, rows] = found.max(-1)
        highest, where = found.max(1)
        better = highest > top[batch]
        top[batch] = torch.where(better, highest, top[batch])
        home[batch] = torch.where(better, where + rows.start, home[batch])
    mutual = home.gather(1, best) == torch.arange(n, device=q.device)
    return Nearest(scores, best.where(mutual, -1))


def _precise(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.to(torch.promote_types(x.dtype, torch.float32))


def _channels_first(q: Tensor, *others: Tensor) -> list[Tensor]:
    precise = torch.promote_types(q.dtype, torch.float32)
    return [x.to(precise).mT.contiguous() for x in (q, *others)]


def _carried(results: list[Tensor], values: Tensor, also: Collection[str]) -> Carried:
    side = Side(*results)
    told = (getattr(side, name) if name in also else None for name in STATISTICS)
    return Carried(side.out.mT.to(values.dtype), side.mass, *told)
