"""Draws of noise, for code that would draw its own, and for a second time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from midms.core.types import NoiseFn


class RandnFrom(TorchFunctionMode):
    """Until the block is left, `torch.randn` gives what a draw gives.

    Args:
        draw: the noise of a shape; it is brought to the precision and device that are asked for.
    """

    def __init__(self, draw: NoiseFn) -> None:
        super().__init__()
        self.draw = draw

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Any function of torch but this one is left alone."""
        if function is not torch.randn:
            return function(*args, **(kwargs or {}))
        return self.draw(tuple(args[0])).to(dtype=kwargs["dtype"], device=kwargs["device"])


def replayed(drawn: list[Tensor]) -> NoiseFn:
    """The same draws once more, in order; zeros where there are no more."""
    left = iter(drawn)
    return lambda shape: next(left, torch.zeros(shape))
