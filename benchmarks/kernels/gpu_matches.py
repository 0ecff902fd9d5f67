"""B4 to B7: whole matches, what training costs, and the gradients of both directions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.kernels.gate import ALLOWED, attention, errors, largest
from benchmarks.kernels.gpu_cases import HALF, Case, compiled, flex, one_way
from benchmarks.kernels.peers import SCALE, Outcome, ours, released_path, with_coordinates
from benchmarks.measure import Inputs, inputs
from benchmarks.released import match as released
from midms.core.normalize import l2_normalize
from midms.matching.kernels import Precision, attend_both
from midms.matching.matchers.correlation import Correlation
from midms.matching.matches.factored import tokens

AUTOCAST = {name: 10 * bound for name, bound in HALF.items()}
LATENT = 4
Warps = Callable[[Inputs], tuple[Tensor, Tensor]]


def matches(side: int, batch: int, width: int, device: str) -> Iterator[Case]:
    """B4: everything that an inference match needs."""
    x = inputs("smooth", side, batch, width, device=device)

    def check(found: Outcome) -> dict[str, float]:
        return errors(x, *(part.float() for part in found[:3]))

    for peer, run, allowed in (
        ("midms triton fp16", ours("triton", "fp16"), HALF),
        ("released, float32", released_path, ALLOWED),
        ("released, tf32", _with_tf32(released_path), HALF),
        ("midms triton fp16x3", ours("triton", "fp16x3"), ALLOWED),
        ("released, AMP", _with_amp(released_path), AUTOCAST),
        ("released, torch.compile", compiled(released_path), ALLOWED),
    ):
        size = f"{side} x {side}, batch {batch}"
        yield Case("B4", "inference match", size, peer, torch.no_grad()(run), (x,), check, allowed)


def trainings(side: int, batch: int, width: int, device: str) -> Iterator[Case]:
    """B5 and, by its memory, B6: latent and labels warped, the latent warped back, and all gradients.

    The gradients of the first match of the batch are compared with those of `_exactly`.
    """
    x = inputs("smooth", side, batch, width, device=device)
    generator = torch.Generator().manual_seed(1)
    forth = torch.randn(x.values.shape, generator=generator).to(x.values)
    back = torch.randn(x.values[:, :LATENT].shape, generator=generator).to(x.values)
    first = Inputs(*(part[:1] for part in x))
    exact = functools.cache(lambda: _gradients(_exactly, first, forth[:1], back[:1]))

    def check(found: tuple[Tensor, ...]) -> dict[str, float]:
        return {"gradient error": largest([part[:1] for part in found], exact())}

    for peer, warps, allowed in (
        ("midms triton fp16", _by_midms("fp16"), HALF),
        ("released, float32", _as_released, ALLOWED),
        ("released, torch.compile", compiled(_as_released), ALLOWED),
        ("FlexAttention, twice", _by_flex, HALF),
        ("midms triton fp16x3", _by_midms("fp16x3"), ALLOWED),
    ):
        size, run = f"{side} x {side}, batch {batch}", functools.partial(_gradients, warps)
        yield Case("B5", "training match", size, peer, run, (x, forth, back), check, allowed)


def directions(side: int, batch: int, width: int, device: str) -> Iterator[Case]:
    """B7: both directions at once and one by one, alone and with their gradients; the first match is compared."""
    x = inputs("smooth", side, batch, width, device=device)
    q, k = (tokens(l2_normalize(part)).detach().requires_grad_() for part in (x.q, x.k))
    v, u = (tokens(part).contiguous() for part in with_coordinates(x))
    generator = torch.Generator().manual_seed(1)
    operands = (q, k, v, u, *(torch.randn(part.shape, generator=generator).to(part) for part in (v, u)))
    first = tuple(part[:1].detach().double() for part in operands)

    @functools.cache
    def exact(trains: bool) -> tuple[Tensor, ...]:
        leaves = (*(part.requires_grad_() for part in first[:2]), *first[2:])
        return _both_gradients(_both_exactly, *leaves) if trains else _both_exactly(*leaves[:4])

    for trains, what in ((True, "both directions and their gradients"), (False, "both directions")):

        def check(found: tuple[Tensor, ...], trains: bool = trains) -> dict[str, float]:
            wrong = largest([part[:1] for part in found], exact(trains))
            return {"gradient error" if trains else "value error": wrong}

        for peer, run in (("midms triton fp16, jointly", _jointly), ("midms triton fp16, one by one", _one_by_one)):
            call: Callable[..., Any] = functools.partial(_both_gradients, run) if trains else torch.no_grad()(run)
            args = operands if trains else operands[:4]
            yield Case("B7", what, f"{side} x {side}, batch {batch}", peer, call, args, check)


def _gradients(warps: Warps, x: Inputs, forth: Tensor, back: Tensor) -> tuple[Tensor, ...]:
    leaves = Inputs(*(part.detach().requires_grad_() for part in x))
    warped, returned = warps(leaves)
    return torch.autograd.grad((warped * forth).sum() + (returned * back).sum(), leaves)


def _exactly(x: Inputs) -> tuple[Tensor, Tensor]:
    q, k, v = (tokens(part.double()) for part in x)
    q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
    warped = attention(q, k, v)
    returned = attention(k, q, warped[..., :LATENT])
    return warped.mT.unflatten(-1, x.q.shape[-2:]), returned.mT.unflatten(-1, x.k.shape[-2:])


def _as_released(x: Inputs) -> tuple[Tensor, Tensor]:
    grid, key_grid = (x.q.shape[-2], x.q.shape[-1]), (x.k.shape[-2], x.k.shape[-1])
    correlation = released.correlate(x.q, x.k)
    latent, labels = (released.warp(correlation, part, grid) for part in (x.values[:, :LATENT], x.values[:, LATENT:]))
    return torch.cat([latent, labels], 1), released.warp_back(correlation, latent, key_grid)


def _by_midms(precision: Precision) -> Warps:
    def warps(x: Inputs) -> tuple[Tensor, Tensor]:
        match = Correlation(released.TEMPERATURE, 0.0, "triton", precision)(x.q, x.k)
        warped = match.apply(x.values)
        return warped, match.transpose().apply(warped[:, :LATENT])

    return warps


def _by_flex(x: Inputs) -> tuple[Tensor, Tensor]:
    q, k, v = (tokens(part).half().contiguous() for part in (l2_normalize(x.q), l2_normalize(x.k), x.values))
    warped = flex(q, k, v)
    returned = flex(k, q, warped[..., :LATENT])
    return warped.mT.unflatten(-1, x.q.shape[-2:]), returned.mT.unflatten(-1, x.k.shape[-2:])


def _both_gradients(run: Callable[..., tuple[Tensor, Tensor]], *operands: Tensor) -> tuple[Tensor, ...]:
    q, k, v, u, forth, back = operands
    rows, columns = run(q, k, v, u)
    return torch.autograd.grad((rows * forth).sum() + (columns * back).sum(), (q, k))


def _jointly(q: Tensor, k: Tensor, v: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    rows, columns = attend_both(q, k, v, u, None, None, SCALE, 0.0, "triton", "fp16")
    return rows.values, columns.values


def _one_by_one(q: Tensor, k: Tensor, v: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    return one_way(q, k, v, "fp16"), one_way(k, q, u, "fp16")


def _both_exactly(q: Tensor, k: Tensor, v: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    return attention(q, k, v), attention(k, q, u)


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
