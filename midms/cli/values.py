"""Argument types: what people type, as values."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from midms.compose.spec import Spec, SpecError, parse_value


def typed(text: str) -> Any:
    """A value as people type it."""
    try:
        return parse_value(text)
    except SpecError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def some_text(text: str) -> str:
    """An argument type: any text but none, as of a variable of the shell that is not set."""
    if not text:
        raise argparse.ArgumentTypeError("expected something, got nothing")
    return text


def a_path(text: str) -> Path:
    """An argument type: a file or folder; a ~ at its beginning is the home folder. Nothing is not this folder."""
    return Path(os.path.expanduser(some_text(text)))


def part_value(text: str) -> Any:
    """An argument type: a part's name, alone or with settings."""
    if isinstance(value := typed(text), str | Spec):
        return value
    raise argparse.ArgumentTypeError(f"expected a name, or settings as in cycle(radius=0.1), got {text!r}")


def part_spec(text: str) -> Spec:
    """An argument type: a part's name, alone or with settings, either way as a `Spec`."""
    value = part_value(text)
    return value if isinstance(value, Spec) else Spec(value)


def dataset_value(text: str) -> Spec:
    """An argument type: a data set by name, with settings as other parts, or as `folder:PICTURES`.

    `NAME:PATH` is `NAME(path="PATH")`, for every data set that has a path; a ~ at its beginning is the home folder.
    """
    if short := re.fullmatch(r"([\w.+-]+):(.*)", text, re.DOTALL):
        name, path = short.groups()
        if not path:
            raise argparse.ArgumentTypeError(f"expected a path after {name}:, got nothing")
        return Spec(name, path=os.path.expanduser(path))
    return part_spec(text)


def optional_part(text: str) -> Any:
    """An argument type: a part, or none."""
    return None if typed(text) is None else part_value(text)


def levels(text: str) -> Any:
    """An argument type: one index of a level, or several."""
    value = typed(text)
    chosen = (value,) if isinstance(value, int) else () if value is None else value
    if not isinstance(chosen, tuple) or not all(type(level) is int for level in chosen):
        raise argparse.ArgumentTypeError(f"expected levels such as 0,1 or none, got {text!r}")
    return chosen


def integer(least: int | None = None, most: int | None = None) -> Callable[[str], int]:
    """An argument type: a whole number within bounds."""

    def parse(text: str) -> int:
        value = int(text)
        if least is None:
            return value
        if value < least or (most is not None and value > most):
            bounds = f"at least {least}" if most is None else f"{least} to {most}"
            raise argparse.ArgumentTypeError(f"expected a whole number, {bounds}, got {value}")
        return value

    parse.__name__ = "whole number"
    return parse


def minutes(text: str) -> float:
    """An argument type: how long, a finite number above 0."""
    if 0 < (value := float(text)) < math.inf:
        return value
    raise argparse.ArgumentTypeError(f"expected a finite number above 0, got {value}")


def share(text: str) -> float:
    """An argument type: a part of a whole, from 0 to 1."""
    if 0 <= (value := float(text)) <= 1:
        return value
    raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {value}")
