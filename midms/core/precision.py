"""Where half precision begins and ends: at the edges of networks.

The loop works in float32 at least, whatever it is given: levels and the sampler's steps, matching, where a scale of 200
magnifies rounding, and confidence. A network is given what the loop has, rounds it to the precision of its weights, and
answers in the precision that it was given. So `pipe.to(torch.bfloat16)` changes what networks compute with, and nothing
else. Nor does `torch.autocast`, which networks follow: what is `without_autocast` ignores it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

P, R = ParamSpec("P"), TypeVar("R")


def precise(x: Tensor) -> Tensor:
    """In float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def rounded(x: Tensor, network: Any) -> Tensor:
    """In the precision of a network's weights; as it is for one that has none."""
    parameters = network.parameters() if isinstance(network, nn.Module) else ()
    return next((x.to(weight.dtype) for weight in parameters if weight.is_floating_point()), x)


def within(network: nn.Module, x: Tensor) -> Tensor:
    """What a network gives, computed in the precision of its weights, in that of `x`."""
    answer: Tensor = network(rounded(x, network))
    return answer.to(x.dtype)


def without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose products keep the precision of its tensors: inside it there is no autocast."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        tensors = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        with torch.autocast(next(tensors).device.type, enabled=False):
            return function(*args, **kwargs)

    return inner
