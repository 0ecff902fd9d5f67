"""The operations as fused Triton kernels. Triton is imported when one runs, not before."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Collection
from importlib.util import find_spec

import torch
from jaxtyping import Float
from torch import Tensor

from midms.matching.kernels.records import Carried, Nearest
from midms.matching.kernels.triton.configs import WIDEST

DEFAULT = "fp16"
"""Unit features lose 2^-11 of themselves, as in TF32, at twice its speed."""


def objections(operation: str, *operands: Tensor, precision: str) -> list[str]:
    """Why it will not run; none means it will."""
    if find_spec("triton") is None:
        return ["triton is not installed"]
    reasons = []
    q = operands[0]
    if q.device.type == "cpu":
        reasons += _on_cpu()
    elif q.device.type != "cuda":
        reasons.append(f"tensors are on {q.device.type}")
    if any(x.dtype == torch.float64 for x in operands):
        reasons.append("computes in float32, not float64")
    if not len(q):
        reasons.append("the batch is empty")
    if operation == "check" and torch.is_grad_enabled() and any(x.requires_grad for x in operands):
        reasons.append("the check has no gradient")
    if operation != "check" and max(x.shape[1] * x.shape[2] for x in operands) >= 1 << 31:
        reasons.append("an operand has 2^31 entries or more a sample")
    if operation not in ("check", "prepare") and q.shape[2] > WIDEST:
        reasons.append(f"feature width {q.shape[2]} > {WIDEST}")
    return reasons


@torch.compiler.assume_constant_result
def _on_cpu() -> list[str]:
    if os.environ.get("TRITON_INTERPRET") != "1":
        return ["tensors are on cpu"]
    tiles = sys.modules.get("midms.matching.kernels.triton.tiles")
    late = tiles is not None and not tiles.INTERPRETED.value
    return ["TRITON_INTERPRET was set after the kernels had been imported"] if late else []


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
    from midms.matching.kernels.triton import autograd

    ranked = "peak" in also or "argmax" in also
    named = _named(precision)
    results = autograd.couple(q, k, v, None, None, col_bias, scale, floor, named, ranked, "entropy" in also)
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
    from midms.matching.kernels.triton import autograd

    ranked = "peak" in also or "argmax" in also
    named = _named(precision)
    results = autograd.couple(q, k, v, u, row_bias, col_bias, scale, floor, named, ranked, "entropy" in also)
    return _carried(results[: autograd.RESULTS], v, also), _carried(results[autograd.RESULTS :], u, also)


@torch.no_grad()
def top_k(q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], count: int, precision: str) -> Nearest:
    """See `reference.top_k`."""
    from midms.matching.kernels.triton import operators as triton_operators

    return Nearest(*triton_operators.nearest(q, k, count, _named(precision)))


@torch.no_grad()
def mutual_nearest(q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], precision: str) -> Nearest:
    """See `reference.mutual_nearest`."""
    from midms.matching.kernels.triton import operators as triton_operators

    named = _named(precision)
    scores, best = (x[..., 0] for x in triton_operators.nearest(q, k, 1, named))
    home = triton_operators.nearest(k, q, 1, named)[1][..., 0].gather(1, best.clamp(min=0))
    return Nearest(scores, best.where(home == torch.arange(q.shape[1], device=q.device), -1))


def prepare(
    x: Float[Tensor, "b d h w"], centre: bool, precision: str, eps: float
) -> tuple[Float[Tensor, "b n d"], ...]:
    """See `reference.prepare`. Differentiable once."""
    from midms.matching.kernels.triton import operators as triton_operators

    return tuple(triton_operators.prepare(x, centre, precision, eps))


def check(
    forward: Float[Tensor, "b 2 h w"], backward: Float[Tensor, "b 2 H W"], radius: float
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """See `reference.check`. Without gradient."""
    from midms.matching.kernels.triton import operators as triton_operators

    error, mask = triton_operators.check(forward, backward, radius)
    return error.to(forward.dtype), mask.to(forward.dtype)


def _carried(results: list[Tensor], values: Tensor, also: Collection[str]) -> Carried:
    out, mass, peak, argmax, entropy = results
    return Carried(
        out.to(values.dtype),
        mass,
        peak if "peak" in also else None,
        argmax if "argmax" in also else None,
        entropy if "entropy" in also else None,
    )


def _named(precision: str) -> str:
    if precision == "bf16":
        warnings.warn(
            "bf16 keeps 8 bits of each feature: at a temperature of 0.005 matches move by up to 3 cells; "
            "fp16 keeps 11 at the same speed",
            stacklevel=2,
        )
    return DEFAULT if precision == "auto" else precision
