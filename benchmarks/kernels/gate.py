"""Whether a peer's numbers are right, against float64 on some rows and columns. The wrong get no other figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from benchmarks.kernels.peers import SCALE
from benchmarks.measure import Inputs
from midms.core.types import cells

SAMPLE, BLOCK = 256, 1024
ALLOWED = {"value error": 2e-4, "flow error px": 0.02, "gradient error": 1e-3}
"""Of a float32 path. A rounding of the correlation is magnified 200 times: 1e-7 there is 2e-5 here; ten times that."""


def errors(x: Inputs, warped: Tensor, forward: Tensor, backward: Tensor) -> dict[str, float]:
    """How far values (relative, in the L2 norm) and maps (in cells, the largest) are from float64."""
    there = cells(x.k.shape[-2], x.k.shape[-1], x.k).expand(len(x.k), -1, -1, -1)
    here = cells(x.q.shape[-2], x.q.shape[-1], x.q).expand(len(x.q), -1, -1, -1)
    rows, columns = (_sample(side.flatten(2).shape[-1], x.q.device) for side in (x.q, x.k))
    values = _exact(x.q, x.k, torch.cat([x.values, there], 1), rows)
    home = _exact(x.k, x.q, here, columns)
    found = warped.flatten(2)[..., rows], forward.flatten(2)[..., rows], backward.flatten(2)[..., columns]
    return {
        "value error": _relative(found[0], values[:, :-2]),
        "flow error px": max(_farthest(found[1], values[:, -2:]), _farthest(found[2], home)),
    }


def value_error(x: Inputs, warped: Float[Tensor, "b c h w"]) -> float:
    """The first of `errors` alone."""
    rows = _sample(x.q.flatten(2).shape[-1], x.q.device)
    return _relative(warped.flatten(2)[..., rows], _exact(x.q, x.k, x.values, rows))


def largest(found: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    """The largest error of several tensors, each relative, in the L2 norm."""
    return max(_relative(one, other) for one, other in zip(found, exact, strict=True))


def attention(
    q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], v: Float[Tensor, "b m c"]
) -> Float[Tensor, "b n c"]:
    """softmax_j(SCALE max(<q_i, k_j>, 0)) v_j in the precision that comes; no more than BLOCK rows are ever kept."""

    def block(rows: Tensor) -> Tensor:
        return (SCALE * (rows @ k.mT).clamp(min=0)).softmax(-1) @ v

    blocks = [checkpoint(block, rows, use_reentrant=False, preserve_rng_state=False) for rows in q.split(BLOCK, 1)]
    return torch.cat(blocks, 1)


def gradient_error(x: Inputs, weight: Float[Tensor, "b c h w"], d_q: Float[Tensor, "b d h w"]) -> float:
    """How far the gradient in the condition's features is from float64, relative, in the L2 norm."""
    rows = _sample(x.q.flatten(2).shape[-1], x.q.device)
    q = x.q.double().flatten(2)[..., rows].requires_grad_()
    loss = (_warp(q, x.k, x.values) * weight.flatten(2)[..., rows]).sum()
    return _relative(d_q.flatten(2)[..., rows], torch.autograd.grad(loss, q)[0])


def too_wrong(row: Mapping[str, Any], allowed: Mapping[str, float] = ALLOWED) -> str:
    """What is not within its bound, or ""; NaN never is."""
    return ", ".join(
        f"{name} {row[name]:.1e} > {bound}" for name, bound in allowed.items() if name in row and not row[name] <= bound
    )


def _exact(q: Tensor, k: Tensor, values: Tensor, rows: Int[Tensor, " r"]) -> Float[Tensor, "b c r"]:
    return _warp(q.double().flatten(2)[..., rows], k, values)


def _warp(q: Float[Tensor, "b d r"], k: Tensor, values: Tensor) -> Float[Tensor, "b c r"]:
    keys = F.normalize(k.double().flatten(2), dim=1)
    return attention(F.normalize(q, dim=1).mT, keys.mT, values.double().flatten(2).mT).mT


def _sample(count: int, device: torch.device) -> Int[Tensor, " r"]:
    generator = torch.Generator().manual_seed(0)
    return torch.randperm(count, generator=generator)[:SAMPLE].to(device)


def _relative(found: Tensor, exact: Tensor) -> float:
    return ((found.double() - exact).norm() / exact.norm()).item()


def _farthest(found: Tensor, exact: Tensor) -> float:
    return (found.double() - exact).norm(dim=1).max().item()
