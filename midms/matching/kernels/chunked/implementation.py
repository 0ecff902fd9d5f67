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

from midms.core.flow import cycle_of_flows as cycle
from midms.matching.kernels.chunked import autograd as chunked_autograd
from midms.matching.kernels.chunked.passes import Result
from midms.matching.kernels.chunked.slices import products, slices
from midms.matching.kernels.records import STATISTICS, Attended, NearestCells

__all__ = ["attend", "attend_both", "cycle", "mutual_nearest", "top_k", "unsupported"]


def unsupported(operation: str, *operands: Tensor, precision: str) -> list[str]:
    """Why it will not run; none means it will."""
    if precision in ("auto", "ieee"):
        return []
    return [f"computes in ieee precision, not {precision}"]


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
    """See `reference.attend`. Differentiable once."""
    operands = _channels_first(q, k, v)
    ranked = "peak" in stats or "argmax" in stats
    results = chunked_autograd.attend(
        *operands, None, None, _precise(col_bias), scale, floor, ranked, "entropy" in stats
    )
    return _attended(results, v, stats)


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
    """See `reference.attend_both`. Differentiable once."""
    operands = _channels_first(q, k, v, u)
    biases, ranked = (_precise(row_bias), _precise(col_bias)), "peak" in stats or "argmax" in stats
    results = chunked_autograd.attend(*operands, *biases, scale, floor, ranked, "entropy" in stats)
    there, back = results[: chunked_autograd.RESULTS], results[chunked_autograd.RESULTS :]
    return _attended(there, v, stats), _attended(back, u, stats)


@torch.no_grad()
def top_k(q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], count: int, precision: str) -> NearestCells:
    """See `reference.top_k`."""
    q, k = _channels_first(q, k)
    scores = q.new_empty(len(q), q.shape[2], count)
    indices = torch.empty(scores.shape, dtype=torch.long, device=q.device)
    for batch, rows, (found,) in slices(q, k, 1):
        scores[batch, rows], indices[batch, rows] = products(q, k, batch, rows, found).topk(count, -1)
    return NearestCells(scores, indices)


@torch.no_grad()
def mutual_nearest(q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], precision: str) -> NearestCells:
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
    return NearestCells(scores, best.where(mutual, -1))


def _precise(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.to(torch.promote_types(x.dtype, torch.float32))


def _channels_first(q: Tensor, *others: Tensor) -> list[Tensor]:
    precise = torch.promote_types(q.dtype, torch.float32)
    return [x.to(precise).mT.contiguous() for x in (q, *others)]


def _attended(results: list[Tensor], values: Tensor, stats: Collection[str]) -> Attended:
    result = Result(*results)
    statistics = (getattr(result, name) if name in stats else None for name in STATISTICS)
    return Attended(result.out.mT.to(values.dtype), result.logsumexp, *statistics)
