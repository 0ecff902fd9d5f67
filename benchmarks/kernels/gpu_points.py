"""B8 and B9: Sinkhorn and mutual nearest neighbours of unit features."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.kernels.gate import BLOCK
from benchmarks.kernels.gpu_cases import Case, compiled
from benchmarks.measure import inputs
from midms.core.normalize import l2_normalize
from midms.matching.kernels import logsumexp_both, mutual_nearest
from midms.matching.matches.factored import tokens

EPSILON, ITERATIONS, REACH = 0.05, 50, 0.5
Potentials = tuple[Tensor, Tensor]
"""f and g: the plan is exp((f_i + g_j - 1 + <q_i, k_j>) / EPSILON) / (n m), the cost 1 - <q, k> = |q - k|^2 / 2."""


def transports(side: int, batch: int, width: int, device: str) -> Iterator[Case]:
    """B8: ITERATIONS symmetric steps, balanced and not (REACH weighs the divergence from uniform marginals).

    Checked is how far the rows' marginal is, in the L1 norm, from what the potentials say it should be at the optimum:
    uniform, times exp(-f / REACH) where unbalanced (Sejourne et al. 2019, arXiv:1910.12958).
    """
    q, k = features(side, width, device)
    stored, few = q.shape[1] <= 128**2, q.shape[1] <= 64**2
    for reach, what in ((None, "Sinkhorn"), (REACH, "Sinkhorn, unbalanced")):
        peers: dict[str, Callable[..., Potentials]] = {
            "midms triton fp16": functools.partial(_by_midms, precision="fp16"),
            "flash-sinkhorn": _flash_sinkhorn,
            "midms triton tf32": functools.partial(_by_midms, precision="tf32"),
        }
        peers |= {"torch.compile, log domain": _dense} if stored else {}
        peers |= {"geomloss tensorized": functools.partial(_geomloss, backend="tensorized")} if stored else {}
        peers |= {"geomloss online (KeOps)": functools.partial(_geomloss, backend="online")} if few else {}
        peers |= {"ott-jax online": _ott} if few and reach is None else {}
        for peer, run in peers.items():
            call = functools.partial(run, reach=reach)
            off = functools.partial(_marginal, q, k, reach)
            bound = {"marginal error": 0.1}
            yield Case("B8", what, f"{side} x {side}", peer, call, (q, k), off, bound, foreign=run is _ott)


def neighbours(side: int, batch: int, width: int, device: str) -> Iterator[Case]:
    """B9: the share of rows whose partner is another than by products in float64."""
    q, k = features(side, width, device)
    exact = functools.cache(lambda: _exactly(q, k))

    def differ(found: Tensor) -> dict[str, float]:
        return {"different matches": (found != exact()).float().mean().item()}

    for peer, run, allowed in (
        ("midms triton", lambda q, k: mutual_nearest(q, k, "triton").indices, 1e-3),
        ("kornia match_mnn", _kornia, 1e-3),
        ("torch, half precision", _halves, 1.0),
        ("KeOps argKmin", _keops, 1e-3),
    ):
        bound = {"different matches": allowed}
        yield Case("B9", "mutual nearest", f"{side} x {side}", peer, run, (q, k), differ, bound)


def features(side: int, width: int, device: str) -> tuple[Tensor, Tensor]:
    """Unit features, [1 n d]."""
    x = inputs("smooth", side, 1, width, device=device)
    return tokens(l2_normalize(x.q)).contiguous(), tokens(l2_normalize(x.k)).contiguous()


def _marginal(q: Tensor, k: Tensor, reach: float | None, found: Potentials) -> dict[str, float]:
    f, g = (part.double().flatten() for part in found)
    keys, total = k[0].double(), 0.0
    for rows, of_rows in zip(q[0].split(BLOCK), f.split(BLOCK), strict=True):
        plan = ((of_rows[:, None] + g - 1 + rows.double() @ keys.mT) / EPSILON).exp() / len(keys)
        wanted = 1.0 if reach is None else (-of_rows / reach).exp()
        total += (plan.sum(-1) - wanted).abs().sum().item()
    return {"marginal error": total / len(f)}


def _damping(reach: float | None) -> float:
    return 1.0 if reach is None else reach / (reach + EPSILON)


def _by_midms(q: Tensor, k: Tensor, reach: float | None, precision: str) -> Potentials:
    f, g, damping = q.new_zeros(q.shape[:2]), k.new_zeros(k.shape[:2]), _damping(reach)
    rows, columns = (1 / EPSILON + math.log(x.shape[1]) for x in (q, k))
    for _ in range(ITERATIONS):
        biases = f / EPSILON - rows, g / EPSILON - columns
        of_rows, of_columns = logsumexp_both(q, k, *biases, 1 / EPSILON, None, "triton", precision)
        f, g = (f - EPSILON * damping * of_rows) / 2, (g - EPSILON * damping * of_columns) / 2
    return f, g


@functools.cache
def _compiled_step() -> Callable[..., Potentials]:
    def step(logits: Tensor, f: Tensor, g: Tensor, damping: float) -> Potentials:
        of_rows = (logits + (g / EPSILON - math.log(g.shape[1]))[:, None]).logsumexp(-1)
        of_columns = (logits + (f / EPSILON - math.log(f.shape[1]))[:, :, None]).logsumexp(1)
        return (f - EPSILON * damping * of_rows) / 2, (g - EPSILON * damping * of_columns) / 2

    return compiled(step)


def _dense(q: Tensor, k: Tensor, reach: float | None) -> Potentials:
    logits = (q @ k.mT - 1) / EPSILON
    f, g = q.new_zeros(q.shape[:2]), k.new_zeros(k.shape[:2])
    for _ in range(ITERATIONS):
        f, g = _compiled_step()(logits, f, g, _damping(reach))
    return f, g


def _flash_sinkhorn(q: Tensor, k: Tensor, reach: float | None) -> Potentials:
    from flash_sinkhorn.sinkhorn_solvers import sinkhorn_flashstyle_symmetric

    uniform = (x.new_full((x.shape[1],), 1 / x.shape[1]) for x in (q, k))
    found: Potentials = sinkhorn_flashstyle_symmetric(
        q[0], k[0], *uniform, use_epsilon_scaling=False, eps=EPSILON, n_iters=ITERATIONS, cost_scale=0.5, rho=reach
    )
    return found


def _geomloss(q: Tensor, k: Tensor, reach: float | None, backend: str) -> Potentials:
    """Its epsilon goes down from the square of the diameter, so that it takes ITERATIONS steps."""
    from geomloss import SamplesLoss

    if backend == "online":
        import pykeops  # noqa: F401
    blur, diameter = math.sqrt(EPSILON), 2.0
    scaling = (blur / diameter) ** (1 / max(ITERATIONS - 2, 1))
    loss = SamplesLoss(
        "sinkhorn", p=2, blur=blur, reach=None if reach is None else math.sqrt(reach), diameter=diameter,
        scaling=scaling, debias=False, potentials=True, backend=backend,
    )  # fmt: skip
    found: Potentials = loss(q[0], k[0])
    return found


@functools.cache
def _solver() -> Callable[..., Potentials]:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax
    from ott.geometry.pointcloud import PointCloud
    from ott.problems.linear.linear_problem import LinearProblem
    from ott.solvers.linear.acceleration import Momentum
    from ott.solvers.linear.sinkhorn import Sinkhorn

    steps = dict.fromkeys(("inner_iterations", "min_iterations", "max_iterations"), ITERATIONS)
    solver = Sinkhorn(threshold=-1.0, parallel_dual_updates=True, momentum=Momentum(value=0.5), **steps)

    def solve(x: object, y: object) -> Potentials:
        found = solver(LinearProblem(PointCloud(x, y, epsilon=2 * EPSILON, batch_size=BLOCK)))
        return found.f, found.g

    compiled: Callable[..., Potentials] = jax.jit(solve)
    return compiled


def _ott(q: Tensor, k: Tensor, reach: None) -> Potentials:
    """Its cost is |q - k|^2, so epsilon and potentials are twice ours; its plan has no weights in it."""
    solver = _solver()
    from jax.dlpack import from_dlpack

    found: tuple[Any, ...] = solver(from_dlpack(q[0]), from_dlpack(k[0]))
    f, g = (torch.from_dlpack(part.block_until_ready()) / 2 for part in found)
    return f + EPSILON * math.log(len(f)), g + EPSILON * math.log(len(g))


def _exactly(q: Tensor, k: Tensor) -> Tensor:
    def nearest(one: Tensor, other: Tensor) -> Tensor:
        whole = other[0].double()
        return torch.cat([(rows.double() @ whole.mT).argmax(-1) for rows in one[0].split(BLOCK)])[None]

    return _mutual(nearest(q, k), nearest(k, q))


def _mutual(best: Tensor, home: Tensor) -> Tensor:
    return best.where(home.gather(1, best) == torch.arange(best.shape[1], device=best.device), -1)


def _kornia(q: Tensor, k: Tensor) -> Tensor:
    from kornia.feature import match_mnn

    pairs = match_mnn(q[0], k[0])[1]
    return q.new_full((q.shape[1],), -1, dtype=torch.long).index_put((pairs[:, 0],), pairs[:, 1])[None]


def _halves(q: Tensor, k: Tensor) -> Tensor:
    products = q.half() @ k.half().mT
    return _mutual(products.argmax(-1), products.argmax(1))


def _keops(q: Tensor, k: Tensor) -> Tensor:
    from pykeops.torch import LazyTensor

    away = -(LazyTensor(q[:, :, None]) | LazyTensor(k[:, None]))
    return _mutual(away.argKmin(1, dim=2)[..., 0], away.argKmin(1, dim=1)[..., 0])
