"""PyTorch's own defaults, whatever the host program has set. Importing this is free."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_DEVICE = ContextVar("device", default="cpu")


@contextlib.contextmanager
def defaults() -> Iterator[None]:
    """Until the block is left: float32 and the CPU by default, no inference mode, no autocast.

    Parts are made so: their weights and constants are then the same in every program, and have gradients. It can
    decorate a function.
    """
    import torch

    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    with contextlib.ExitStack() as stack:
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        if device.type != _DEVICE.get():
            stack.enter_context(torch.device(_DEVICE.get()))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        for kind in {"cpu", device.type}:
            if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextlib.contextmanager
def shapes_alone() -> Iterator[None]:
    """Until the block is left, parts that are made have weights of their shapes that take no memory."""
    token = _DEVICE.set("meta")
    try:
        with defaults():
            yield
    finally:
        _DEVICE.reset(token)
