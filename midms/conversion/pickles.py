"""Tensors out of other people's files. Nothing in a file is run."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from midms.checkpoints import CheckpointError, read_weights

BOOKKEEPING = ("pytorch_lightning.", "lightning.")
"""Packages whose classes Lightning mentions beside the weights; each becomes an empty stand-in."""


def tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or a `.pth`, `.ckpt` or `.bin` of PyTorch, by name.

    Of a training checkpoint, those under `state_dict`. The tensors may be maps of the file.

    Raises:
        CheckpointError: the file is missing, truncated, of no known kind, holds code or objects, or no tensors.
    """
    if path.suffix == ".safetensors":
        return read_weights(path)
    content = unpickled(path)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, expected tensors by name")
    odd = [f"{name} ({type(value).__name__})" for name, value in content.items() if not isinstance(value, Tensor)]
    odd += [f"the name {name!r}" for name in content if not isinstance(name, str)]
    if odd:
        raise CheckpointError(f"{path}: expected tensors by name, got also {', '.join(odd[:3])}")
    return content


def unpickled(path: Path) -> Any:
    """What a pickle of PyTorch holds, plain data and tensors alone.

    Raises:
        CheckpointError: the file is missing, truncated or damaged, or holds anything else.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file of weights")
    zipped = zipfile.is_zipfile(path)
    with path.open("rb") as file:
        start = file.read(2)
    if not zipped and start in (b"PK", b""):
        raise CheckpointError(f"{path}: truncated, download it again")
    if not zipped and start[:1] != pickle.PROTO:
        raise CheckpointError(f"{path}: no checkpoint of PyTorch, it begins with {start!r}")
    if zipped and (bad := _damaged(path)):
        raise CheckpointError(f"{path}: damaged at {bad}, download it again")
    try:
        globals_ = torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipped else []
        stand_ins: list[Any] = [(type("StandIn", (), {}), name) for name in globals_ if name.startswith(BOOKKEEPING)]
        with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it will refuse
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it asks to run {named[1]}" if named else "what it holds is not plain tensors"
        raise CheckpointError(f"{path}: not opened, {what}; only tensors are read") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError) as error:
        reason = str(error).strip().splitlines()
        raise CheckpointError(
            f"{path}: damaged or no checkpoint of PyTorch ({reason[0] if reason else error!r})"
        ) from None


def _damaged(path: Path) -> str | None:
    """The first member of a zip that is not what its checksum promises; PyTorch can be told to leave them all 0."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() if any(member.CRC for member in file.infolist()) else None
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        return str(error)
