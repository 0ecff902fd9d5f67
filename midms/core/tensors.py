"""Weights on disk: safetensors only, written whole, with a checksum; everything that does not fit is named."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from midms.core.errors import MidmsError
from midms.core.files import atomic_write, check_regular, made
from midms.core.torch_defaults import shapes_alone

FEW = 3
"""Complaints that a line has before it counts the rest."""
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types of numbers that weights have."""
_POINTER = b"version https://git-lfs"
HEADER = 8 * 2**20
"""Bytes of the longest table of contents of a safetensors file that is read."""
M = TypeVar("M")


class CheckpointError(MidmsError, ValueError):
    """A weights file that cannot be used; the message names the file and says why in one line.

    Attributes:
        details: everything that is wrong, where that is too much for a line.
    """

    def __init__(self, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)


def cast(state: Mapping[str, Tensor], dtype: torch.dtype | None, name: str) -> dict[str, Tensor]:
    """The tensors as they can be stored, on the CPU.

    Args:
        state: tensors by name.
        dtype: of those that are floating-point; by default each keeps its own.
        name: what errors call the whole.

    Raises:
        CheckpointError: weights cannot have that type, or a number is not finite, or is too large for it.
    """
    if dtype is not None and dtype not in FLOATS:
        raise CheckpointError(f"{name}: dtype: expected one of {', '.join(map(str, FLOATS))}, got {dtype!r}")
    stored = {}
    for key, value in state.items():
        value = value.detach().cpu()
        stored[key] = (value.to(dtype) if dtype and value.is_floating_point() else value).contiguous().clone()
        if not finite(stored[key]):
            large = f" in {dtype}, it reaches {value.abs().amax():.3g}" if finite(value) else ""
            raise CheckpointError(f"{name}: not saved, {key} is not finite{large}")
    return stored


def save_state(state: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors by name, whole or not at all.

    Raises:
        CheckpointError: the disk refuses; what was there stays.
    """
    state = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    try:
        with made(path.parent), atomic_write(path) as part:
            save_file(state, part, metadata={"sha256": checksum(state)})
            with part.open("rb") as file:
                os.fsync(file.fileno())
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise CheckpointError(f"{path}: cannot be written ({reason})") from None


def finite(value: Tensor) -> bool:
    """Whether all numbers are."""
    return not (value.is_floating_point() or value.is_complex()) or bool(torch.isfinite(value).all())


def load_state(module: nn.Module, state: Mapping[str, Tensor], source: str, keep: bool = False) -> None:
    """The same for tensors by name.

    Args:
        module: to fill.
        state: its parameters and buffers.
        source: where they are from, for complaints.
        keep: whether the module takes the precision of `state`, instead of keeping its own.

    Raises:
        CheckpointError: they do not fit.
    """
    own = module.state_dict()
    wrong, taken = unlike(own, {name: value.shape for name, value in state.items()}), {}
    precisions: dict[torch.dtype, set[torch.dtype]] = {}
    for name in own.keys() & state.keys():
        if state[name].shape != own[name].shape:  # what it would take to read it is not known
            continue
        if state[name].layout != torch.strided:
            wrong.append(f"{name} is {state[name].layout}, expected {torch.strided}")
            continue
        real = own[name].is_floating_point()
        if state[name].dtype not in (FLOATS if real else (own[name].dtype,)):
            wrong.append(f"{name} is {state[name].dtype}, expected {'real numbers' if real else own[name].dtype}")
            continue
        precisions.setdefault(own[name].dtype, set()).add(state[name].dtype)
        taken[name] = state[name] if keep else state[name].to(own[name].dtype)
        if not finite(taken[name]):
            wrong.append(f"{name} is not finite" + (f" in {own[name].dtype}" if finite(state[name]) else ""))
    if keep and (mixed := [kinds for kinds in precisions.values() if len(kinds) > 1]):
        wrong.append(f"weights are {' and '.join(sorted(map(str, mixed[0])))}, expected one precision")
    refuse(wrong, source, type(module).__name__)
    if keep:
        for name, value in module.state_dict(keep_vars=True).items():
            value.data = value.data.to(taken[name].dtype)
    module.load_state_dict(taken)


def unlike(own: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """What is missing, unexpected or of another shape among tensors of these names and shapes."""
    wrong = [f"missing {name}" for name in own if name not in shapes]
    wrong += [f"unexpected {name}" for name in shapes if name not in own]
    return wrong + [
        f"{name} is {tuple(shapes[name])}, expected {tuple(own[name].shape)}"
        for name in own.keys() & shapes.keys()
        if tuple(shapes[name]) != tuple(own[name].shape)
    ]


def refuse(wrong: Iterable[str], source: str, module: str) -> None:
    """Raise a CheckpointError if anything is wrong: the first complaints in its message, all in its details."""
    found = sorted(wrong)
    if found:
        more = f" and {len(found) - FEW:,} more" if len(found) > FEW else ""
        raise CheckpointError(f"{source}: does not fit {module}: {'; '.join(found[:FEW])}{more}", found)


def check_sizes(make: Callable[[], Any], shapes: Mapping[str, Sequence[int]], source: str) -> None:
    """Find out whether a part that a file describes has the shapes of its weights, before memory is taken for it.

    Args:
        make: from nothing to the module.
        shapes: of the weights, by name.
        source: what errors call them.

    Raises:
        CheckpointError: it cannot be made so, or has others.
    """
    made = outline(make, len(shapes), source)
    own = made.state_dict() if isinstance(made, nn.Module) else {}
    refuse(unlike(own, shapes), source, type(made).__name__)


def outline(make: Callable[[], M], tensors: int, source: str) -> M:
    """What `make` makes, with shapes and no numbers.

    Args:
        make: from nothing to a module.
        tensors: how many weights there are for it; it is given up when it has many more.
        source: what errors call them.

    Raises:
        CheckpointError: it has many more, or cannot be made.
    """
    left, thread = 2 * tensors + 1000, threading.get_ident()

    def count(*_: Any) -> None:
        nonlocal left
        left -= threading.get_ident() == thread
        if left < 0:
            raise CheckpointError(f"{source}: has {tensors:,} tensors, its settings ask for many more")

    hooks = [register(count) for register in (
        nn.modules.module.register_module_parameter_registration_hook,
        nn.modules.module.register_module_buffer_registration_hook,
    )]  # fmt: skip
    try:
        with shapes_alone():
            return make()
    except CheckpointError:
        raise
    except Exception as error:  # a part may raise anything when its settings are absurd
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{source}: no part can be made with its settings ({reason or type(error).__name__})"
        ) from None
    finally:
        for hook in hooks:
            hook.remove()


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a safetensors file's tensors; the tensors are not read.

    Raises:
        CheckpointError: the file is missing or is not whole safetensors.
    """
    with _opened(path) as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no dictionary)


def read_weights(path: Path, sealed: bool = False) -> dict[str, Tensor]:
    """The tensors of a safetensors file; where the file has a checksum, as `save_state` leaves it, it must hold.

    Args:
        path: of the file.
        sealed: whether it must have one.

    Raises:
        CheckpointError: the file is missing, is not whole safetensors, or is not what was saved.
    """
    with _opened(path) as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)
        promised = (file.metadata() or {}).get("sha256")
    if sealed and promised is None:
        raise CheckpointError(f"{path}: has no checksum, so nobody knows whether it is what was written")
    if promised is not None and promised != checksum(state):
        raise CheckpointError(f"{path}: damaged or changed since it was saved, its checksum does not hold")
    return state


def check_weights_file(path: Path) -> None:
    """Find out before it is opened whether a path leads to a file of weights.

    Raises:
        CheckpointError: it leads to nothing, or to something of another kind.
    """
    try:
        check_regular(path, math.inf)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file of weights") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file."""
    check_weights_file(path)
    try:
        with path.open("rb") as file:
            start = file.read(8)
        if start == _POINTER[:8]:
            raise ValueError("it is a pointer of Git LFS, which `git lfs pull` replaces by the file")
        header = int.from_bytes(start, "little")
        if HEADER < header <= path.stat().st_size:
            raise ValueError(f"its table of contents has {header:,} bytes, expected at most {HEADER:,}")
        with safe_open(path, framework="pt") as found:
            yield found
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path}: not a whole safetensors file, and no other kind is opened ({reason})") from None


def checksum(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and numbers."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
