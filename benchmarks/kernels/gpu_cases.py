"""What is measured on a GPU, and the first of it: B1 to B3, values warped one way."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.kernels.gate import ALLOWED, value_error
from benchmarks.kernels.peers import SCALE
from benchmarks.measure import Inputs, inputs
from benchmarks.released import match as released
from midms.core.normalize import l2_normalize
from midms.matching.kernels import attend
from midms.matching.matches.factored import tokens

HALF = {"value error": 1e-2, "flow error px": 2.0, "gradient error": 2e-2}
"""What half-precision features may cost: three times the worst of the study in float64."""
PRECISIONS = {"fp16x3": ALLOWED, "ieee": ALLOWED, "fp16x2k": HALF, "tf32": HALF}


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        id: of the benchmark.
        what: it measures.
        size: of the inputs, in words.
        peer: who does it.
        run: does it.
        args: of `run`; tensors in tuples.
        check: from what `run` gives to its errors. Whatever is exact is computed there, not before.
        allowed: their bounds.
        flops: of the products, without padding; 0 where a rate would say nothing.
        traffic: bytes that have to be read and written at least; likewise.
        foreign: whether torch knows nothing of its stream and its memory.
    """

    id: str
    what: str
    size: str
    peer: str
    run: Callable[..., Any]
    args: tuple[Any, ...]
    check: Callable[[Any], dict[str, float]]
    allowed: Mapping[str, float] = field(default_factory=lambda: HALF)
    flops: float = 0.0
    traffic: float = 0.0
    foreign: bool = False


def compiled(run: Callable[..., Any]) -> Callable[..., Any]:
    """By `torch.compile`, anew for every shape."""
    import torch._dynamo  # here, for it takes two CPU seconds

    torch._dynamo.config.recompile_limit = 64  # at its limit it would run uncompiled, and not say so
    return torch.compile(run, dynamic=False)


def product(side: int, batch: int, width: int, device: str) -> Iterator[Case]:
    """B2's measure: a square product in half precision, what the card can do in this run."""
    n = width * side // 2
    a, b = (torch.randn(n, n, generator=torch.Generator().manual_seed(s)).to(device, torch.bfloat16) for s in (0, 1))

    def off(found: Tensor) -> dict[str, float]:
        exact = a[:16].double() @ b.double()
        return {"value error": ((found[:16] - exact).norm() / exact.norm()).item()}

    yield Case("B2", "square product", f"{n} x {n}", "torch, bfloat16", torch.matmul, (a, b), off, flops=2 * n**3)


def warped(side: int, batch: int, width: int, device: str) -> Iterator[Case]:
    """B1 (in half precision; its share of B2's rate is the target) and B3 (of float32 features)."""
    x = inputs("smooth", side, batch, width, device=device)
    size = f"{side} x {side}, batch {batch}"
    whole = tuple(tokens(part) for part in (l2_normalize(x.q), l2_normalize(x.k), x.values))
    half = tuple(part.half().contiguous() for part in whole)
    cells, values = side**2, x.values.shape[1]
    flops = 2 * batch * cells**2 * (width + values)

    def case(bench: str, peer: str, run: Callable[..., Tensor], args: tuple[Any, ...], allowed: Any = HALF) -> Case:
        def check(found: Tensor) -> dict[str, float]:
            return {"value error": value_error(x, found[..., :values].float().mT.unflatten(-1, (side, side)))}

        return Case(bench, "values warped", size, peer, run, args, check, allowed, flops)

    yield case("B1", "midms triton fp16", functools.partial(one_way, precision="fp16"), half)
    yield case("B1", "FlexAttention, relu", flex, half)
    padded = (*half[:2], F.pad(half[2], (0, width - values)))
    for name, backend in (("cuDNN", SDPBackend.CUDNN_ATTENTION), ("flash", SDPBackend.FLASH_ATTENTION)):
        yield case("B1", f"SDPA {name}, values padded", functools.partial(_sdpa, backend=backend), padded)
    yield case("B1", "xformers, values padded", _xformers, padded)
    yield case("B1", "FlashAttention-4, values padded", _flash_4, padded)
    for precision, allowed in PRECISIONS.items():
        run = functools.partial(one_way, precision=precision)
        yield case("B3", f"midms triton {precision}", run, whole, allowed)
    yield case("B3", "released, float32", _released, (x,), ALLOWED)


def one_way(q: Tensor, k: Tensor, v: Tensor, precision: str) -> Tensor:
    """By midms's kernel."""
    return attend(q, k, v, None, SCALE, 0.0, "triton", precision)[0]


def flex(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """By FlexAttention, with the released floor at 0; the values padded to a multiple of 16."""
    padded = F.pad(v, (0, -v.shape[-1] % 16))
    found = _compiled_flex()(q[:, None], k[:, None], padded[:, None], score_mod=_relu, scale=SCALE)
    return found[:, 0, :, : v.shape[-1]]


@functools.cache
def _compiled_flex() -> Callable[..., Tensor]:
    from torch.nn.attention.flex_attention import flex_attention

    return compiled(flex_attention)


def _relu(score: Tensor, *_: Tensor) -> Tensor:
    return torch.relu(score)


def _sdpa(q: Tensor, k: Tensor, v: Tensor, backend: SDPBackend) -> Tensor:
    with sdpa_kernel(backend):
        return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], scale=SCALE)[:, 0]


def _xformers(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from xformers.ops import memory_efficient_attention

    found: Tensor = memory_efficient_attention(q[:, :, None], k[:, :, None], v[:, :, None], scale=SCALE)
    return found[:, :, 0]


def _flash_4(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from flash_attn.cute import flash_attn_func

    found: Tensor = flash_attn_func(q[:, :, None], k[:, :, None], v[:, :, None], softmax_scale=SCALE)[0]
    return found[:, :, 0]


def _released(x: Inputs) -> Tensor:
    grid = (x.q.shape[-2], x.q.shape[-1])
    return tokens(released.warp(released.correlate(x.q, x.k), x.values, grid))
