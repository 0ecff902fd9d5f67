"""Which implementation runs, and why the others did not."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from midms.core.errors import MidmsError
from midms.matching.kernels import reference
from midms.matching.kernels.chunked import implementation as chunked
from midms.matching.kernels.triton import implementation as on_triton

IMPLEMENTATIONS: dict[str, ModuleType] = {"triton": on_triton, "chunked": chunked, "reference": reference}
"""In order of preference.

A module has any of the operations of `reference`, with the same names and arguments, and a function `unsupported` that
says why it cannot run one. It can be imported on every machine, without Triton too.
"""

Backend = Literal["auto", "triton", "chunked", "reference"]
"""One of them, or "auto" for the first that can run."""
Precision = Literal["auto", "ieee", "fp16x3", "fp16x2k", "tf32", "fp16", "bf16"]
"""How products of features are computed; "auto" is what the implementation thinks best for the device."""
PRECISIONS = get_args(Precision)


class NoImplementation(MidmsError, RuntimeError):
    """The implementation asked for cannot run on these inputs; the message says why."""


def run(operation: str, backend: str, precision: str, operands: Sequence[Tensor], *arguments: Any, **more: Any) -> Any:
    """An operation, by the implementation asked for or the first that can run. Autocast is ignored.

    Args:
        operation: its name in `reference`.
        backend: an implementation's name, or "auto".
        precision: one of `PRECISIONS`.
        operands: what the implementations are asked about.
        *arguments: the operation's.
        **more: the operation's.

    Returns:
        What the operation gives.

    Raises:
        ValueError: there is no such precision.
        NoImplementation: the one asked for is unknown or objects; it never falls back.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    for name in IMPLEMENTATIONS:
        if backend in ("auto", name) and not unsupported(name, operation, *operands, precision=precision):
            with torch.autocast(operands[0].device.type, enabled=False):
                return getattr(IMPLEMENTATIONS[name], operation)(*arguments, **more)
    raise NoImplementation(_refusal(operation, backend, precision, operands))


def _refusal(operation: str, backend: str, precision: str, operands: Sequence[Tensor]) -> str:
    """Why the implementation asked for cannot run, and what to ask for instead."""
    if backend not in (choices := get_args(Backend)):
        return f"backend: expected one of {', '.join(choices)}, got {backend!r}"
    said = {name: unsupported(name, operation, *operands, precision=precision) for name in IMPLEMENTATIONS}
    able = [repr(name) for name in ("auto", *(name for name, reasons in said.items() if not reasons))]
    if backend != "auto" and able[1:]:
        why = "; ".join(said[backend])
        return f"backend: {backend!r} cannot run here ({why}); expected {' or '.join(able)}"
    why = "; ".join(f"{name}: {', '.join(reasons)}" for name, reasons in said.items())
    return f"precision: {precision!r} can be computed by no backend here ({why})"


def unsupported(name: str, operation: str, *operands: Tensor, precision: str = "auto") -> list[str]:
    """Why an implementation will not run an operation on these tensors; none means it will."""
    module = IMPLEMENTATIONS[name]
    if not hasattr(module, operation):
        return [f"has no {operation}"]
    reasons: list[str] = module.unsupported(operation, *operands, precision=precision)
    return reasons
