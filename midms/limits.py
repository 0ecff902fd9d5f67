"""Whether what somebody gave for a number is one, and within limits. Standard library only."""

from __future__ import annotations

import reprlib
from numbers import Integral, Real

from midms.mistakes import Mistake

SEEDS = 2**63 - 1
"""The largest seed."""


class OutOfLimits(Mistake, ValueError):
    """An argument that is no such number; the message names it, what is expected and what came."""


def whole(least: int, most: int, **given: object) -> None:
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
        fit = isinstance(value, Real) and not isinstance(value, bool)
        if not (fit and least <= value <= most and not (above and value == least)):  # type: ignore[operator]
            start = "above" if above else "from"
            raise OutOfLimits(f"{name} must be a number {start} {least:g} to {most:g}, got {reprlib.repr(value)}")
