"""Weights on disk: safetensors only, written whole, with a checksum; everything that does not fit is named."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from midms.files import whole
from midms.mistakes import Mistake

FEW = 3
"""Complaints that a line has before it counts the rest."""


class CheckpointError(Mistake, ValueError):
    """A weights file that cannot be used; the message names the file and says why in one line.

    Attributes:
        details: everything that is wrong, where that is too much for a line.
    """

    def __init__(self, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)


def save_weights(module: nn.Module, path: Path, half: bool = True) -> None:
    """Write parameters and buffers.

    Args:
        module: whose they are.
        path: file to write, in a folder that is made if need be.
        half: whether floating-point ones are stored in half precision.
    """
    save_state(module.state_dict(), path, half)


def save_state(state: Mapping[str, Tensor], path: Path, half: bool = False) -> None:
    """The same for tensors by name."""
    state = {
        name: (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous().clone()
        for name, value in state.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        save_file(state, part, metadata={"sha256": checksum(state)})


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill a module from a file, strictly, in the module's own precision.

    Raises:
        CheckpointError: the file is missing, is not safetensors (a pickle is never opened), is truncated or not what
            was saved, holds numbers that are not finite, or its names and shapes are not the module's; the
            first of these are in the message, all in its `details`.
    """
    load_state(module, read_weights(path), str(path))


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
    wrong = [f"missing {name}" for name in own if name not in state]
    wrong += [f"unexpected {name}" for name in state if name not in own]
    for name in own.keys() & state.keys():
        if state[name].shape != own[name].shape:
            wrong.append(f"{name} is {tuple(state[name].shape)}, expected {tuple(own[name].shape)}")
        elif not torch.isfinite(state[name]).all():
            wrong.append(f"{name} is not finite")
    if wrong:
        few = "; ".join(sorted(wrong)[:FEW]) + (f" and {len(wrong) - FEW:,} more" if len(wrong) > FEW else "")
        raise CheckpointError(f"{source}: does not fit {type(module).__name__}: {few}", sorted(wrong))
    if keep:
        for name, value in module.state_dict(keep_vars=True).items():
            if value.is_floating_point() and state[name].is_floating_point():
                value.data = value.data.to(state[name].dtype)
        own = module.state_dict()
    module.load_state_dict({name: value.to(own[name].dtype) for name, value in state.items()})


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; where the file has a checksum, as `save_weights` leaves it, it must hold.

    Raises:
        CheckpointError: the file is missing, is not whole safetensors, or is not what was saved.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file of weights")
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)
            promised = (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file, and no other kind is opened ({error})") from None
    if promised is not None and promised != checksum(state):
        raise CheckpointError(f"{path}: damaged or changed since it was saved, its checksum does not hold")
    return state


def checksum(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and numbers."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
