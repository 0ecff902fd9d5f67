"""B12 and B13: the cycle error and its mask, and what the card can move."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.kernels.gpu_cases import Case, compiled
from benchmarks.released import match as released
from midms.core.flow import return_error
from midms.matching.kernels import cycle

RADIUS = 0.25


def checks(side: int, batch: int, width: int, device: str) -> Iterator[Case]:
    """B12: errors, and the share of cells on the wrong side of the radius, against the same in float64."""
    generator = torch.Generator().manual_seed(2)
    maps = tuple((side * torch.rand(batch, 2, side, side, generator=generator)).to(device) for _ in range(2))
    place = 2 * maps[0] / max(side - 1, 1) - 1
    fused = functools.partial(cycle, radius=RADIUS, backend="triton")
    theirs, alike = compiled(released.check), compiled(_checked)
    for peer, run, exactly, args in (
        ("midms triton", fused, _checked, maps),
        ("released, eager", released.check, released.check, (place,)),
        ("released, torch.compile", theirs, released.check, (place,)),
        ("the same check, torch.compile", alike, _checked, maps),
    ):
        off = functools.partial(_off, exactly, args)
        bounds = {"check error": 1e-4, "mask differs": 1e-3}
        yield Case("B12", "check and mask", f"{side} x {side}, batch {batch}", peer, run, args, off, bounds)


def copies(side: int, batch: int, width: int, device: str) -> Iterator[Case]:
    """B13: what the card can move in this run."""
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
