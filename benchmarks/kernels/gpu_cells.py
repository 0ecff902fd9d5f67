"""B12 and B13: the check and its mask, and the features made ready for the products."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.kernels.gpu_cases import Case
from benchmarks.measure import inputs
from benchmarks.released import match as released
from midms.core.flow import return_error
from midms.matching.kernels import check, prepare

RADIUS = 0.25
ROUNDED: dict[str, Any] = {"emulate_precision_casts": True}
"""Without it the compiled code takes what is left of a feature from the feature not yet rounded: nothing is left."""
HALVES = 64.0
"""What fp16x3 multiplies the features by before it splits them, see `kernels.prepare`."""


def checks(side: int, batch: int, width: int, device: str) -> Iterator[Case]:
    """B12: errors, and the share of cells on the wrong side of the radius, against the same in float64."""
    generator = torch.Generator().manual_seed(2)
    maps = tuple((side * torch.rand(batch, 2, side, side, generator=generator)).to(device) for _ in range(2))
    place = 2 * maps[0] / max(side - 1, 1) - 1
    fused = functools.partial(check, radius=RADIUS, backend="triton")
    theirs, alike = torch.compile(released.check, dynamic=False), torch.compile(_checked, dynamic=False)
    for peer, run, exactly, args in (
        ("midms triton", fused, _checked, maps),
        ("released, eager", released.check, released.check, (place,)),
        ("released, torch.compile", theirs, released.check, (place,)),
        ("the same check, torch.compile", alike, _checked, maps),
    ):
        off = functools.partial(_off, exactly, args)
        bounds = {"check error": 1e-4, "mask differs": 1e-3}
        yield Case("B12", "check and mask", f"{side} x {side}, batch {batch}", peer, run, args, off, bounds)


def preparations(side: int, batch: int, width: int, device: str) -> Iterator[Case]:
    """B13: of unit length and cast, centred before, split after; features are read once and written once at least."""
    x = inputs("smooth", side, batch, width, device=device).q
    for what, centre, precision in (
        ("features prepared", False, "fp16"),
        ("features prepared, centred", True, "fp16"),
        ("features prepared, centred, split", True, "fp16x3"),
    ):
        parts = 2 if precision == "fp16x3" else 1
        eager = functools.partial(_eagerly, centre=centre, parts=parts)
        runs: dict[str, Callable[..., tuple[Tensor, ...]]] = {
            "midms triton": functools.partial(prepare, centre=centre, precision=precision, backend="triton"),
            "released, eager": eager,
            "released, torch.compile": torch.compile(eager, dynamic=False, options=ROUNDED),
        }
        for peer, run in runs.items():
            off = functools.partial(_rounding, x, centre, parts)
            bound = {"feature error": 2.0 ** (-10 if parts == 1 else -20)}
            traffic = x.numel() * (4 + 2 * parts)
            size = f"{side} x {side}, batch {batch}"
            yield Case("B13", what, size, peer, run, (x,), off, bound, traffic=traffic)


def copies(side: int, batch: int, width: int, device: str) -> Iterator[Case]:
    """B13's measure: what the card can move in this run."""
    x = torch.linspace(0, 1, 4 * batch * width * side**2, device=device)

    def off(found: Tensor) -> dict[str, float]:
        return {"value error": (found - x).abs().max().item()}

    yield Case("B13", "copy", f"{4 * x.numel() / 1e6:.1f} MB", "torch", torch.clone, (x,), off, traffic=8 * x.numel())


def _checked(forward: Tensor, backward: Tensor) -> tuple[Tensor, Tensor]:
    error = return_error(forward, backward)
    return error, (error < RADIUS).to(error)


def _off(
    run: Callable[..., tuple[Tensor, Tensor]], args: tuple[Tensor, ...], found: tuple[Tensor, Tensor]
) -> dict[str, float]:
    error, mask = run(*(part.double() for part in args))
    differs = (found[1].double() != mask).double().mean().item()
    return {"check error": (found[0].double() - error).abs().max().item(), "mask differs": differs}


def _eagerly(x: Tensor, centre: bool, parts: int) -> tuple[Tensor, ...]:
    """The released code normalises twice: once in its features, once in its correlation."""
    x = x - x.mean(1, keepdim=True) if centre else x
    rest = F.normalize(F.normalize(x, dim=1), dim=1).flatten(2).mT
    if parts == 1:
        return (rest.half().contiguous(),)
    large = (HALVES * rest).half()
    return large.contiguous(), (HALVES * rest - large).half().contiguous()


def _rounding(x: Tensor, centre: bool, parts: int, found: tuple[Tensor, ...]) -> dict[str, float]:
    exact = x.double()
    exact = F.normalize(exact - exact.mean(1, keepdim=True) if centre else exact, dim=1).flatten(2).mT
    total = sum((part.double() for part in found), torch.zeros_like(exact)) / (HALVES if parts == 2 else 1.0)
    return {"feature error": (total - exact).abs().max().item()}
