"""B8, B9, B12 and B13: Sinkhorn, mutual nearest neighbours, the check, the preparation of features."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import released_match as released
from benchmarks.gpu_cases import Case
from benchmarks.measure import Inputs, inputs
from midms.flow import return_error
from midms.matching.kernels import check, logsumexp_both, mutual_nearest, prepare
from midms.matching.match import tokens
from midms.matching.unit import unit

EPSILON, ITERATIONS = 0.05, 50
Potentials = tuple[Tensor, Tensor]


def cases(side: int, width: int, seed: int, device: str) -> Iterator[Case]:
    """Those of one size."""
    x = inputs("smooth", side, 1, width, seed=seed, device=device)
    size = f"{side} x {side}"
    q, k = tokens(unit(x.q)).contiguous(), tokens(unit(x.k)).contiguous()
    yield from _sinkhorn(q, k, size)
    yield from _nearest(q, k, size)
    yield from _checks(x, size)


def _sinkhorn(q: Tensor, k: Tensor, size: str) -> Iterator[Case]:
    """50 symmetric (Jacobi) iterations, and how far the rows' marginal is from uniform in the L1 norm."""

    def marginal(potentials: Potentials) -> dict[str, float]:
        row, column = (side.double() for side in potentials)
        logits = q.double() @ k.double().mT / EPSILON + row[:, :, None] + column[:, None]
        return {"marginal error": (logits.exp().sum(-1) - 1 / q.shape[1]).abs().sum(-1).max().item()}

    peers: dict[str, Callable[[], Potentials]] = {
        f"midms triton {p}": functools.partial(_ours, q, k, p) for p in ("fp16", "tf32")
    }
    peers["torch.compile, log domain"] = functools.partial(_dense, q, k)
    peers["flash-sinkhorn"] = functools.partial(_samples_loss, q, k, "flash_sinkhorn", {})
    for backend in ("tensorized", "online"):
        peers[f"geomloss {backend}"] = functools.partial(_samples_loss, q, k, "geomloss", {"backend": backend})
    if q.shape[1] > 128**2:
        peers.pop("torch.compile, log domain")
        peers.pop("geomloss tensorized")
    for peer, run in peers.items():
        yield Case("B8", "Sinkhorn", size, peer, run, marginal, {"marginal error": 0.1})


def _ours(q: Tensor, k: Tensor, precision: str) -> Potentials:
    row, column = q.new_zeros(q.shape[:2]), k.new_zeros(k.shape[:2])
    for _ in range(ITERATIONS):
        of_rows, of_columns = logsumexp_both(q, k, row, column, 1 / EPSILON, None, "triton", precision)
        row = (row - math.log(q.shape[1]) - of_rows) / 2
        column = (column - math.log(k.shape[1]) - of_columns) / 2
    return row, column


@functools.cache
def _compiled_step() -> Callable[..., Potentials]:
    def step(logits: Tensor, row: Tensor, column: Tensor) -> Potentials:
        of_rows, of_columns = (logits + column[:, None]).logsumexp(-1), (logits + row[:, :, None]).logsumexp(1)
        return (row - math.log(row.shape[1]) - of_rows) / 2, (column - math.log(column.shape[1]) - of_columns) / 2

    compiled: Callable[..., Potentials] = torch.compile(step, dynamic=False)
    return compiled


def _dense(q: Tensor, k: Tensor) -> Potentials:
    logits = q @ k.mT / EPSILON
    row, column = q.new_zeros(q.shape[:2]), k.new_zeros(k.shape[:2])
    for _ in range(ITERATIONS):
        row, column = _compiled_step()(logits, row, column)
    return row, column


def _samples_loss(q: Tensor, k: Tensor, package: str, options: dict[str, Any]) -> Potentials:
    """Potentials of a package with geomloss's interface; its cost |x - y|^2 / 2 is 1 - <x, y> on unit vectors."""
    module = __import__(package)
    loss = module.SamplesLoss("sinkhorn", p=2, blur=math.sqrt(EPSILON), debias=False, potentials=True, **options)
    f, g = (side.reshape(1, -1) for side in loss(q[0], k[0]))
    sizes = math.log(q.shape[1]) + math.log(k.shape[1])
    return (f - 1) / EPSILON - sizes, g / EPSILON


def _nearest(q: Tensor, k: Tensor, size: str) -> Iterator[Case]:
    """How many rows' partners differ from those by float32 products."""
    wanted = mutual_nearest(q, k, "chunked").indices

    def differ(indices: Tensor) -> dict[str, float]:
        return {"different matches": (indices != wanted).float().mean().item()}

    def kornia() -> Tensor:
        from kornia.feature import match_mnn

        pairs = match_mnn(q[0], k[0])[1]
        return torch.full_like(wanted, -1).index_put((torch.zeros_like(pairs[:, 0]), pairs[:, 0]), pairs[:, 1])

    def halves() -> Tensor:
        products = q.half() @ k.half().mT
        best, home = products.argmax(-1), products.argmax(1).gather(1, products.argmax(-1))
        return best.where(home == torch.arange(q.shape[1], device=q.device), -1)

    for peer, run, allowed in (
        ("midms triton", lambda: mutual_nearest(q, k, "triton").indices, 1e-3),
        ("kornia match_mnn", kornia, 1e-3),
        ("torch, half precision", halves, 1.0),
    ):
        yield Case("B9", "mutual nearest", size, peer, run, differ, {"different matches": allowed})


def _checks(x: Inputs, size: str) -> Iterator[Case]:
    """B12 and B13."""
    generator = torch.Generator().manual_seed(2)
    side = x.q.shape[-1]
    maps = [(side * torch.rand(1, 2, side, side, generator=generator)).to(x.q) for _ in range(2)]
    error = return_error(maps[0].double(), maps[1].double())

    def off(found: tuple[Tensor, Tensor]) -> dict[str, float]:
        return {"check error": (found[0] - error).abs().max().item()}

    fused = functools.partial(check, maps[0], maps[1], 0.25, "triton")
    yield Case("B12", "check and mask", size, "midms triton", fused, off, {"check error": 1e-4})
    apart = functools.partial(released.check, maps[0])
    yield Case("B12", "check and mask", size, "released", apart, lambda _: {})
    exact = F.normalize(x.q.double(), dim=1).flatten(2).mT

    def rounded(parts: tuple[Tensor, ...]) -> dict[str, float]:
        return {"feature error": (parts[0].double() - exact).abs().max().item()}

    def eager() -> tuple[Tensor, ...]:
        return (F.normalize(F.normalize(x.q, dim=1), dim=1).half().flatten(2).mT.contiguous(),)

    bound = {"feature error": 2**-10}
    run = functools.partial(prepare, x.q, False, "fp16", via="triton")
    yield Case("B13", "features prepared", size, "midms triton", run, rounded, bound)
    yield Case("B13", "features prepared", size, "released, eager", eager, rounded, bound)
