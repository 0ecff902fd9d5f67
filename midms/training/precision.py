"""Convolutions in bfloat16, everything else as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class BFloat16Convolutions(TorchFunctionMode):
    """`with BFloat16Convolutions(): loss = ...` runs 2-D convolutions in bfloat16 and returns float32.

    On CPUs with bfloat16 instructions a convolution takes half the time so, but group normalisation takes three times
    as long and the backward pass of attention eight times, which is why `torch.autocast`, where all three change,
    gains little. Measured with one thread, forward and backward, ms a picture in float32, under autocast, and here:
    bridge 15.1, 12.9, 10.5; pyramid features (three domains) 25.3, 21.8, 17.7; patchified 33.7, 18.8, 19.7.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Called by torch for every function inside the context."""
        if func is not torch.conv2d:
            return func(*args, **(kwargs or {}))
        low: Any = [arg.bfloat16() if isinstance(arg, Tensor) else arg for arg in args]
        return func(*low, **(kwargs or {})).float()
