"""Weights on disk: safetensors only, written atomically, every wrong key named."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn


class CheckpointError(ValueError):
    """A weights file that cannot be used; the message names the file and says why in one line."""


def save_weights(module: nn.Module, path: Path, half: bool = True) -> None:
    """Write parameters and buffers, floating point ones in half precision unless told otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        name: (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous().clone()
        for name, value in module.state_dict().items()
    }
    temporary = path.with_name(path.name + ".tmp")
    save_file(state, temporary)
    os.replace(temporary, path)


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill a module from a file, strictly.

    Raises:
        CheckpointError: the file is missing, is not safetensors (a pickle is never opened), is truncated, holds
            numbers that are not finite, or its names and shapes are not the module's; all of these are listed.
    """
    if not path.is_file():
        raise CheckpointError(f"no weights at {path}")
    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file, and nothing else is opened: {error}") from None
    own = module.state_dict()
    wrong = [f"missing {name}" for name in own if name not in state]
    wrong += [f"unexpected {name}" for name in state if name not in own]
    wrong += [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if not wrong:
        wrong = [f"{name} is not finite" for name, value in state.items() if not torch.isfinite(value).all()]
    if wrong:
        raise CheckpointError(f"{path} does not fit {type(module).__name__}: {'; '.join(wrong)}")
    module.load_state_dict({name: value.to(own[name].dtype) for name, value in state.items()})
