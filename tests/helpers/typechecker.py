"""What checks the annotations of midms while tests run: beartype, to which an int is a float, as PEP 484 has it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import torch
from beartype import BeartypeConf, beartype

whole = beartype(conf=BeartypeConf(is_pep484_tower=True))


def seen_of(value: Any) -> Hashable:
    """What an annotation sees of a value: a tensor's shape and dtype, a name or number itself, an object's class."""
    kind = type(value)
    if isinstance(value, torch.Tensor):
        return kind, value.shape, value.dtype
    if kind in (int, str, bool):
        return kind, value
    if isinstance(value, Iterable):
        raise TypeError("what it holds is seen too")
    return (value,) if isinstance(value, type) else kind


def check(function: Callable) -> Callable:
    """Once for all calls whose arguments and result look the same to annotations; always where one is iterable."""
    checked, right = whole(function), set()

    @functools.wraps(function)
    def once(*args: Any, **kwargs: Any) -> None:
        try:
            seen = (*map(seen_of, args), *kwargs, *map(seen_of, kwargs.values()))
            if seen in right:
                return
        except TypeError:
            seen = None
        checked(*args, **kwargs)
        if seen is not None:
            right.add(seen)

    return once
