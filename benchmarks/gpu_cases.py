"""B1 to B7: carrying values, whole matches, gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks import released_match as released
from benchmarks.gate import ALLOWED, errors, gradient_error
from benchmarks.measure import Inputs, inputs
from benchmarks.peers import SCALE, Outcome, gradients, ours, released_path, with_coordinates
from midms.matching.kernels import couple, couple_both
from midms.matching.match import tokens
from midms.matching.unit import unit

HALF = {"value error": 1e-2, "flow error px": 2.0, "gradient error": 2e-2}
"""What half-precision features may cost: three times the worst of the study in float64."""
BRAIN = {name: 10 * bound for name, bound in HALF.items()}
PRECISIONS = {"fp16": HALF, "fp16x2k": HALF, "tf32": HALF, "fp16x3": ALLOWED, "ieee": ALLOWED}


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        id: of the benchmark.
        what: it measures.
        size: of the inputs, in words.
        peer: who does it.
        run: does it.
        check: from what `run` gives to its errors.
        allowed: their bounds.
        flops: of the products, without padding; 0 where a rate would say nothing.
    """

    id: str
    what: str
    size: str
    peer: str
    run: Callable[[], Any]
    check: Callable[[Any], dict[str, float]]
    allowed: Mapping[str, float] = field(default_factory=lambda: HALF)
    flops: float = 0.0


def cases(side: int, batch: int, width: int, seed: int, device: str) -> Iterator[Case]:
    """Those of one size."""
    x = inputs("smooth", side, batch, width, seed=seed, device=device)
    size = f"{side} x {side}, batch {batch}"
    yield from _carrying(x, size, side)
    yield from _matches(x, size)
    yield from _training(x, size)


def _carrying(x: Inputs, size: str, side: int) -> Iterator[Case]:
    """B1, B2 (the share of GEMM) and B3: the values one way."""
    q, k, v = (tokens(unit(x.q)), tokens(unit(x.k)), tokens(x.values))
    flops = 2 * len(q) * q.shape[1] * k.shape[1] * (q.shape[2] + v.shape[2])

    def check(carried: Tensor) -> dict[str, float]:
        grid = (x.q.shape[-2], x.q.shape[-1])
        exact = errors(x, carried.float().mT.unflatten(-1, grid), x.q[:, :2], x.k[:, :2])
        return {"value error": exact["value error"]}

    def case(bench: str, peer: str, run: Callable[[], Tensor], allowed: Mapping[str, float] = HALF) -> Case:
        return Case(bench, "values carried", size, peer, run, check, allowed, flops)

    half = [side.half() for side in (q, k, v)]
    padded = (half[0], half[1], F.pad(half[2], (0, q.shape[2] - v.shape[2])))
    for precision, allowed in PRECISIONS.items():
        run = functools.partial(_couple, q, k, v, precision)
        yield case("B1" if precision == "fp16" else "B3", f"midms triton {precision}", run, allowed)
    yield case("B1", "FlexAttention, relu", functools.partial(_flex, *half))
    for name, backend in (("cuDNN", SDPBackend.CUDNN_ATTENTION), ("flash", SDPBackend.FLASH_ATTENTION)):
        run = functools.partial(_sdpa, *padded, v.shape[2], backend)
        yield case("B1", f"SDPA {name}, values padded", run)
    yield case("B1", "xformers, values padded", functools.partial(_xformers, *padded, v.shape[2]))
    if side <= 128:
        yield case("B3", "released, float32", functools.partial(_released_carry, x), ALLOWED)


def _matches(x: Inputs, size: str) -> Iterator[Case]:
    """B4: everything that an inference match needs."""

    def check(found: Outcome) -> dict[str, float]:
        return errors(x, *(side.float() for side in found[:3]))

    compiled = torch.compile(released_path, dynamic=False)
    for peer, run, allowed in (
        ("midms triton fp16", ours("triton", "fp16"), HALF),
        ("midms triton fp16x3", ours("triton", "fp16x3"), ALLOWED),
        ("released, float32", released_path, ALLOWED),
        ("released, tf32", _with_tf32(released_path), HALF),
        ("released, AMP", _with_amp(released_path), BRAIN),
        ("released, torch.compile", compiled, ALLOWED),
    ):
        yield Case("B4", "inference match", size, peer, functools.partial(_without_gradients, run, x), check, allowed)


def _training(x: Inputs, size: str) -> Iterator[Case]:
    """B5 and B6 (its memory): a match and its gradients. B7: gradients of both directions at once and one by one."""
    weight = torch.randn(x.values.shape, generator=torch.Generator().manual_seed(1)).to(x.values)

    def check(found: tuple[Tensor, ...]) -> dict[str, float]:
        return {"gradient error": gradient_error(x, weight, found[0])}

    compiled = torch.compile(released_path, dynamic=False)
    for peer, run, allowed in (
        ("midms triton fp16", ours("triton", "fp16"), HALF),
        ("midms triton fp16x3", ours("triton", "fp16x3"), ALLOWED),
        ("released, float32", released_path, ALLOWED),
        ("released, torch.compile", compiled, ALLOWED),
    ):
        yield Case("B5", "training match", size, peer, functools.partial(gradients, run, x, weight), check, allowed)
    both, single = _directions(x)
    exact = [g.double() for g in single()]

    def agrees(found: tuple[Tensor, ...]) -> dict[str, float]:
        pairs = zip(found, exact, strict=True)
        return {"gradient error": max(((a - b).norm() / b.norm()).item() for a, b in pairs)}

    for peer, run_them in (("midms triton fp16, jointly", both), ("midms triton fp16, one by one", single)):
        yield Case("B7", "gradients of both directions", size, peer, run_them, agrees)


def _directions(x: Inputs) -> tuple[Callable[[], tuple[Tensor, ...]], Callable[[], tuple[Tensor, ...]]]:
    q, k = (tokens(unit(side)).detach().requires_grad_() for side in (x.q, x.k))
    v, u = (tokens(side) for side in with_coordinates(x))

    def both() -> tuple[Tensor, ...]:
        rows, columns = couple_both(q, k, v, u, None, None, SCALE, 0.0, "triton", "fp16")
        return torch.autograd.grad(rows.values.sum() + columns.values.sum(), (q, k))

    def single() -> tuple[Tensor, ...]:
        forth, back = _couple(q, k, v, "fp16"), _couple(k, q, u, "fp16")
        return torch.autograd.grad(forth.sum() + back.sum(), (q, k))

    return both, single


def _couple(q: Tensor, k: Tensor, v: Tensor, precision: str) -> Tensor:
    return couple(q, k, v, None, SCALE, 0.0, "triton", precision)[0]


def _released_carry(x: Inputs) -> Tensor:
    grid = (x.q.shape[-2], x.q.shape[-1])
    return tokens(released.warp(released.correlate(x.q, x.k), x.values, grid))


def _relu(score: Tensor, *_: Tensor) -> Tensor:
    return torch.relu(score)


@functools.cache
def _compiled_flex() -> Callable[..., Tensor]:
    from torch.nn.attention.flex_attention import flex_attention

    compiled: Callable[..., Tensor] = torch.compile(flex_attention, dynamic=False)
    return compiled


def _flex(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    v = F.pad(v, (0, -v.shape[-1] % 16))
    return _compiled_flex()(q[:, None], k[:, None], v[:, None], score_mod=_relu, scale=SCALE)[:, 0, :, :20]


def _sdpa(q: Tensor, k: Tensor, v: Tensor, count: int, backend: SDPBackend) -> Tensor:
    with sdpa_kernel(backend):
        return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], scale=SCALE)[:, 0, :, :count]


def _xformers(q: Tensor, k: Tensor, v: Tensor, count: int) -> Tensor:
    from xformers.ops import memory_efficient_attention

    found: Tensor = memory_efficient_attention(q[:, :, None], k[:, :, None], v[:, :, None], scale=SCALE)
    return found[:, :, 0, :count]


def _without_gradients(run: Callable[[Inputs], Outcome], x: Inputs) -> Outcome:
    with torch.no_grad():
        return run(x)


def _with_tf32(run: Callable[[Inputs], Outcome]) -> Callable[[Inputs], Outcome]:
    def tf32(x: Inputs) -> Outcome:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")
        try:
            return run(x)
        finally:
            torch.set_float32_matmul_precision(before)

    return tf32


def _with_amp(run: Callable[[Inputs], Outcome]) -> Callable[[Inputs], Outcome]:
    def amp(x: Inputs) -> Outcome:
        with torch.autocast(x.q.device.type, torch.float16):
            return run(x)

    return amp
