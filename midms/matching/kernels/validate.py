"""Operands that do not fit together are refused before anything runs, in one line that says what came."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, NoReturn

from torch import Tensor

from midms.matching.kernels.records import STATISTICS


def refuse(also: Collection[str], scale: float, floor: float | None, **operands: tuple[Tensor | None, str]) -> None:
    """Raise one ValueError for whatever is wrong."""
    if unknown := [name for name in also if name not in STATISTICS]:
        came = ", ".join(map(repr, unknown))
        raise ValueError(f"also: expected a collection of names out of {', '.join(STATISTICS)}, got {came}")
    if not 0 < scale < math.inf:
        raise ValueError(f"scale must be positive and finite, got {scale}")
    if floor is not None and not -math.inf < floor < math.inf:
        raise ValueError(f"floor must be finite or None, got {floor}")
    sizes: dict[str, int] = {}
    for x, axes in operands.values():
        if x is not None and x.ndim == len(axes.split()):
            sizes |= {axis: size for axis, size in zip(axes.split(), x.shape, strict=True) if axis not in sizes}
    fits = all(
        x is None or list(x.shape) == [sizes.get(axis) for axis in axes.split()] for x, axes in operands.values()
    )
    if not fits or 0 in (sizes["n"], sizes["m"]):
        wanted = ", ".join(f"{name} [{axes}]" for name, (_, axes) in operands.items())
        came = ", ".join(str(None if x is None else list(x.shape)) for x, _ in operands.values())
        raise ValueError(f"expected {wanted} with n, m > 0, got {came}")
    for name, (x, _) in operands.items():
        if x is not None and not x.is_floating_point():
            raise ValueError(f"{name}: expected floating point numbers, got {told(x)}")
    _refuse_places([x for x, _ in operands.values() if x is not None])


def refuse_maps(forward: Tensor, backward: Tensor) -> None:
    """Raise a ValueError unless both are maps [b 2 h w] of one batch, on one device."""
    for name, x in (("forward", forward), ("backward", backward)):
        if x.ndim != 4 or x.shape[1] != 2 or len(x) != len(forward) or not x.is_floating_point():
            raise ValueError(f"{name}: expected a map [b 2 h w], b as in forward, got {told(x)}")
    _refuse_places([forward, backward])


def _refuse_places(operands: Collection[Tensor]) -> None:
    if len(places := dict.fromkeys(str(x.device) for x in operands)) > 1:
        raise ValueError(f"expected all operands on one device, got {' and '.join(places)}")


def told(x: Tensor) -> str:
    """What came."""
    return f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}"


def refuse_twice(ctx: Any, *gradients: Any) -> NoReturn:
    """In place of a second derivative."""
    raise RuntimeError("a coupling is differentiable once: this asks for the gradient of its gradient")
