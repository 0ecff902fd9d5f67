"""Checks of the operands before anything runs, with errors of one line."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, NoReturn

from torch import Tensor

from midms.matching.kernels.records import STATISTICS


def validate(stats: Collection[str], scale: float, floor: float | None, **operands: tuple[Tensor | None, str]) -> None:
    """Raise a ValueError unless operands [axes] fit together and scale, floor and stats are allowed."""
    if unknown := [name for name in stats if name not in STATISTICS]:
        came = ", ".join(map(repr, unknown))
        raise ValueError(f"stats: expected a collection of names out of {', '.join(STATISTICS)}, got {came}")
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
            raise ValueError(f"{name}: expected floating point numbers, got {described(x)}")
    _validate_devices([x for x, _ in operands.values() if x is not None])


def validate_maps(forward: Tensor, backward: Tensor) -> None:
    """Raise a ValueError unless both are maps [b 2 h w] of one batch, on one device."""
    for name, x in (("forward", forward), ("backward", backward)):
        if x.ndim != 4 or x.shape[1] != 2 or len(x) != len(forward) or not x.is_floating_point():
            raise ValueError(f"{name}: expected a map [b 2 h w], b as in forward, got {described(x)}")
    _validate_devices([forward, backward])


def _validate_devices(operands: Collection[Tensor]) -> None:
    if len(places := dict.fromkeys(str(x.device) for x in operands)) > 1:
        raise ValueError(f"expected all operands on one device, got {' and '.join(places)}")


def described(x: Tensor) -> str:
    """Dtype and shape, for messages."""
    return f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}"


def no_second_derivative(ctx: Any, *gradients: Any) -> NoReturn:
    """Raise a RuntimeError: the backward of a backward, which there is not."""
    raise RuntimeError("a coupling is differentiable once: this asks for the gradient of its gradient")
