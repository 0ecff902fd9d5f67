"""Whether what somebody gave for a number is one, and within limits. Standard library only."""

from __future__ import annotations

import math
import reprlib
from numbers import Integral, Real

from midms.core.errors import MidmsError

SEEDS = 2**63 - 1
"""The largest seed."""
LARGE = 1e6
"""A number that is as good as infinite for anything here."""
_CELLS, LARGEST = 8, 1024
"""The fewest cells of a latent's shorter side, and the most pixels of a picture's: nothing else was ever tried."""
WIDTH, STRIDE = 2048, 64
"""The most channels of a layer, and the most pixels that a cell has along a side."""


class OutOfLimits(MidmsError, ValueError):
    """An argument that is no such number; the message names it, what is expected and what came."""


def int_range(least: int, most: int, **given: object) -> None:
    """Find out whether arguments are whole numbers within limits.

    Args:
        least: the smallest that is allowed.
        most: the largest that is allowed.
        **given: the arguments by name.

    Raises:
        OutOfLimits: one is not.
    """
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) <= most:
            raise OutOfLimits(f"{name} must be a whole number from {least} to {most}, got {reprlib.repr(value)}")


def number(least: float, most: float, above: bool = False, **given: object) -> None:
    """Find out whether arguments are finite numbers within limits.

    Args:
        least: the smallest that is allowed.
        most: the largest that is allowed.
        above: whether `least` itself is not.
        **given: the arguments by name.

    Raises:
        OutOfLimits: one is not.
    """
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise OutOfLimits(f"{name} must be a number, got {reprlib.repr(value)}")
        enough = value > least if above else value >= least  # type: ignore[operator]
        if enough and value <= most:  # type: ignore[operator]
            continue
        within = f"{'above' if above else 'from'} {least:g} to {most:g}"
        if value != value or value in (math.inf, -math.inf):
            expected = f"be a finite number {within}"
        elif (least, most) == (0, 1):
            expected = "be between 0 and 1"
        elif least == 0 and not enough:
            expected = "be positive" if above else "not be negative"
        else:
            expected = f"be a number {within}"
        raise OutOfLimits(f"{name} must {expected}, got {value!r}")


def side(stride: int, size: object) -> str:
    """What is wrong with the pixels of a shorter side, or "".

    Args:
        stride: pixels a cell along a side.
        size: what came.
    """
    least = _CELLS * stride
    if isinstance(size, bool) or not isinstance(size, Integral):
        return f"expected a whole number of pixels, got {reprlib.repr(size)}"
    if not least <= int(size) <= LARGEST:
        return f"expected {least} to {LARGEST} pixels, got {reprlib.repr(size)}"
    if over := int(size) % stride:
        lower = int(size) - over
        near = " or ".join(str(one) for one in (lower, lower + stride) if least <= one <= LARGEST)
        return f"expected a multiple of {stride} pixels, {near}, got {size}"
    return ""


def divisor(**given: object) -> None:
    """Find out whether arguments are positive numbers that float32 can be divided by.

    Raises:
        OutOfLimits: one is not.
    """
    for name, value in given.items():
        number(0, LARGE, True, **{name: value})
        number(1 / LARGE, LARGE, False, **{name: value})


def channels(**given: object) -> None:
    """Find out whether arguments can be numbers of channels.

    Raises:
        OutOfLimits: one cannot.
    """
    int_range(1, WIDTH, **given)


def channels_of(levels: int | None, multiple: int = 1, **given: object) -> None:
    """Find out whether arguments can be numbers of channels at several levels of a network.

    Args:
        levels: how many levels there are; None for one to sixteen.
        multiple: of which each must be.
        **given: the arguments by name.

    Raises:
        OutOfLimits: one cannot.
    """
    for name, value in given.items():
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= 16 or len(value) != (levels or len(value)):
            raise OutOfLimits(f"{name} must be {levels or '1 to 16'} numbers of channels, got {reprlib.repr(value)}")
        for width in value:
            channels(**{name: width})
            if width % multiple:
                raise OutOfLimits(f"{name} must be multiples of {multiple}, got {reprlib.repr(value)}")
