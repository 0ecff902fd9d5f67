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

from midms.matching.kernels.records import Attended, NearestCells
from midms.matching.kernels.triton.configs import WIDEST

DEFAULT = "fp16"
"""Unit features lose 2^-11 of themselves, as in TF32, at twice its speed."""

INTERPRETS = (3, 6)
"""The first version of Triton that is known to interpret every kernel; that of PyTorch 2.8, 3.4, dies in `cycle`."""


def unsupported(operation: str, *operands: Tensor, precision: str) -> list[str]:
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
    if operation == "cycle" and torch.is_grad_enabled() and any(x.requires_grad for x in operands):
        reasons.append("the cycle error has no gradient")
    if operation != "cycle" and max(x.shape[1] * x.shape[2] for x in operands) >= 1 << 31:
        reasons.append("an operand has 2^31 entries or more a sample")
    if operation != "cycle" and q.shape[2] > WIDEST:
        reasons.append(f"feature width {q.shape[2]} > {WIDEST}")
    return reasons


def _on_cpu() -> list[str]:
    if os.environ.get("TRITON_INTERPRET") != "1":
        return ["tensors are on cpu"]
    import triton

    if tuple(map(int, triton.__version__.split(".")[:2])) < INTERPRETS:
        needed = ".".join(map(str, INTERPRETS))
        return [f"triton {triton.__version__} cannot interpret the kernels, {needed} can; it compiles them for a GPU"]
    tiles = sys.modules.get("midms.matching.kernels.triton.tiles")
    late = tiles is not None and not tiles.INTERPRETED.value
    return ["TRITON_INTERPRET was set after the kernels had been imported"] if late else []


_on_cpu._dynamo_marked_constant = True  # type: ignore[attr-defined]
"""`torch.compiler.assume_constant_result`, which would import the compiler: two CPU seconds at every start."""


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
    from midms.matching.kernels.triton import attend as operator

    ranked = "peak" in stats or "argmax" in stats
    named = _named(precision)
    results = operator.attend(q, k, v, None, None, col_bias, scale, floor, named, ranked, "entropy" in stats)
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
    from midms.matching.kernels.triton import attend as operator

    ranked = "peak" in stats or "argmax" in stats
    named = _named(precision)
    results = operator.attend(q, k, v, u, row_bias, col_bias, scale, floor, named, ranked, "entropy" in stats)
    return _attended(results[: operator.RESULTS], v, stats), _attended(results[operator.RESULTS :], u, stats)


@torch.no_grad()
def top_k(q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], count: int, precision: str) -> NearestCells:
    """See `reference.top_k`."""
    from midms.matching.kernels.triton import nearest as operator

    return NearestCells(*operator.nearest(q, k, count, _named(precision)))


@torch.no_grad()
def mutual_nearest(q: Float[Tensor, "b n d"], k: Float[Tensor, "b m d"], precision: str) -> NearestCells:
    """See `reference.mutual_nearest`."""
    from midms.matching.kernels.triton import nearest as operator

    named = _named(precision)
    scores, best = (x[..., 0] for x in operator.nearest(q, k, 1, named))
    home = operator.nearest(k, q, 1, named)[1][..., 0].gather(1, best.clamp(min=0))
    return NearestCells(scores, best.where(home == torch.arange(q.shape[1], device=q.device), -1))


def cycle(
    forward: Float[Tensor, "b 2 h w"], backward: Float[Tensor, "b 2 H W"], radius: float
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """See `reference.cycle`. Without gradient."""
    from midms.matching.kernels.triton import cycle as operator

    error, mask = operator.cycle(forward, backward, radius)
    return error.to(forward.dtype), mask.to(forward.dtype)


def _attended(results: list[Tensor], values: Tensor, stats: Collection[str]) -> Attended:
    out, logsumexp, peak, argmax, entropy = results
    return Attended(
        out.to(values.dtype),
        logsumexp,
        peak if "peak" in stats else None,
        argmax if "argmax" in stats else None,
        entropy if "entropy" in stats else None,
    )


def _named(precision: str) -> str:
    if precision == "bf16":
        warnings.warn(
            "bf16 keeps 8 bits of each feature: at a temperature of 0.005 matches move by up to 3 cells; "
            "fp16 keeps 11 at the same speed",
            stacklevel=2,
        )
    return DEFAULT if precision == "auto" else precision
