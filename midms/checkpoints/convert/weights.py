"""Tensors by name out of files as people have them: bare or inside a checkpoint of training, whole or in shards."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from midms.checkpoints.convert import torch_files
from midms.checkpoints.convert.pickles import type_name
from midms.core.schema import BRIEF, Schema, checked, read_json
from midms.core.tensors import FLOATS, CheckpointError, read_weights

TRAINED = (
    *("state_dict", "model_state_dict", "model", "module", "network", "net", "generator", "netG", "net_G", "G"),
    *("params", "weights"),
)
AVERAGED = ("ema_state_dict", "state_dict_ema", "model_ema", "params_ema", "ema_model", "ema", "G_ema", "g_ema")
"""Where checkpoints of training have the weights: those that were trained go before running averages of them."""
_WRAPPED = re.compile(r"(?:(?<=^)|(?<=\.))(?:module|_orig_mod|_forward_module|_(?:fsdp|checkpoint)_wrapped_module)\.")
"""What `DataParallel`, `torch.compile` and others put into names."""
_COUNT = "n_averaged"
"""What torch's `AveragedModel` counts beside the weights that it has averaged."""
_NOTES = "notes beside the weights, passed over"
REBUILT = re.compile(r"torch\._utils\._rebuild_")
"""Tensors of kinds that are not read, such as sparse ones: those are no notes."""
INDEX = re.compile(r".+\.index(\.\w+)?\.json")
NETWORK, ENCODER = ("diffusion_pytorch_model",), ("model", "pytorch_model")
"""What files of weights are called in folders of diffusers' networks, and of transformers' text encoders."""
_VARIANT = re.compile(r"\.\w+\.(safetensors|bin)")
WHOLE_PIPELINE = (
    "expected that of the whole pipeline: fetch what is missing from where the folder is from, or write it anew by"
    " diffusers' save_pretrained"
)
"""What to do where something is missing in a folder of diffusers."""
_KINDS = ("safetensors", "safetensors.index.json", "bin", "bin.index.json")
"""Of files of weights, in the order in which they are looked for."""


class Index(Schema):
    """Which file of a folder has which tensor."""

    metadata: object = None
    weight_map: Annotated[dict[str, str], Field(min_length=1, max_length=100_000)]


def weights_of(folder: Path, stems: Sequence[str] = NETWORK) -> Path:
    """The file of weights, or the index of several, in a folder of diffusers: full precision, else the only variant.

    Args:
        folder: of a network or text encoder.
        stems: what its files are called.

    Raises:
        CheckpointError: there are none, or several variants and nothing says which.
    """
    whole = [f"{stem}.{kind}" for kind in _KINDS for stem in stems]
    for name in whole:
        if os.path.lexists(folder / name):
            return folder / name
    variants = sorted(
        path
        for stem in stems
        for path in folder.glob(f"{stem}.*")
        if path.name.startswith(stem) and _VARIANT.fullmatch(path.name.removeprefix(stem))
    )
    variants = [path for path in variants if path.suffix == ".safetensors"] or variants
    found = variants or [path for stem in stems for path in folder.glob(f"{stem}.*.index.*.json")]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise CheckpointError(f"{folder}: has several variants of the weights, {names}; leave one")
    if not found:
        raise CheckpointError(f"{folder / whole[0]}: no such file of weights, {WHOLE_PIPELINE}")
    return found[0]


def read_settings(path: Path) -> object:
    """What a configuration in a folder of diffusers holds.

    Raises:
        CheckpointError: it is missing or cannot be read.
    """
    if not os.path.lexists(path):
        raise CheckpointError(f"{path}: no such file, {WHOLE_PIPELINE}")
    return read_json(path, CheckpointError)


def tensors(path: Path) -> dict[str, Tensor]:
    """The tensors that `read` finds, without the report."""
    return read(path)[0]


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    """The tensors of a `.safetensors` file, a `.pth`, `.ckpt` or `.bin` of PyTorch, or the index of several.

    Nothing in a file is run.

    Returns:
        The tensors by name, without what wrappers put into names; they may be maps of the file. And a report: of a
        checkpoint of training, which weights were taken and which were left out.

    Raises:
        CheckpointError: a file is missing, truncated, damaged, of no known kind, or holds no tensors by name.
    """
    found, report = (_sharded(path), {}) if INDEX.fullmatch(path.name) else _whole(path)
    if found.keys() > {_COUNT}:
        found = {name: value for name, value in found.items() if name != _COUNT}
        report = report | {_NOTES: [*report.get(_NOTES, []), _COUNT]}
    plain: dict[str, Tensor] = {}
    for name, value in found.items():
        if (bare := _WRAPPED.sub("", name)) in plain:
            raise CheckpointError(f"{path}: has {bare} more than once, as {name} too")
        plain[bare] = value
        if value.is_floating_point() and value.dtype not in FLOATS:
            wanted = ", ".join(map(str, FLOATS))
            raise CheckpointError(f"{path}: has {bare} in {value.dtype}, which nothing here reads, expected {wanted}")
    return plain, report


def _whole(path: Path) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    if path.suffix == ".safetensors":
        return read_weights(path), {}
    content, tensor = torch_files.read_tensors(path)
    content, report = _inside(content)
    if not isinstance(content, dict) or not content or torch_files.is_tensor(content):
        raise CheckpointError(f"{path}: holds a {type_name(content)}, expected tensors by name")
    weights = {name: value for name, value in content.items() if torch_files.is_tensor(value)}
    notes = {name: value for name, value in content.items() if name not in weights}
    odd = [
        f"{name} ({type_name(value)})"
        for name, value in notes.items()
        if not weights or REBUILT.match(type_name(value))
    ]
    odd += [f"the name {name!r}" for name in weights if not isinstance(name, str)]
    if odd:
        raise CheckpointError(f"{path}: expected tensors by name, got also {', '.join(odd[:3])}")
    if notes:
        report[_NOTES] = [str(name) for name in notes]
    return {name: tensor(value) for name, value in weights.items()}, report


def _inside(content: Any) -> tuple[Any, dict[str, list[str]]]:
    """What holds the weights in a checkpoint of training, or the content itself; and the report."""
    report: dict[str, list[str]] = {}
    for _ in range(len(TRAINED + AVERAGED)):
        if not isinstance(content, Mapping):
            break
        inner = {name: content.get(name) for name in (*TRAINED, *AVERAGED)}
        found = {name: value for name, value in inner.items() if isinstance(value, Mapping) and value}
        found = found or _only_holder(content)
        if not found:
            break
        filled = [name for name, value in found.items() if any(map(torch_files.is_tensor, value.values()))]
        taken = (filled or [*found])[0]
        report[f"weights are those under {taken}" + ", running averages" * (taken in AVERAGED)] = []
        if others := [name for name in found if name != taken and (name in filled or name in AVERAGED)]:
            report["other weights or running averages beside them, left out"] = others
        content = found[taken]
    return content, report


def _only_holder(content: Mapping[Any, Any]) -> dict[Any, Any]:
    """The one thing in a checkpoint that holds weights, whatever it is called; nothing if there are several."""
    if any(map(torch_files.is_tensor, content.values())):
        return {}
    mappings = {name: value for name, value in content.items() if isinstance(value, Mapping)}
    holders = {
        name: value
        for name, value in mappings.items()
        if any(map(torch_files.is_tensor, value.values()))
        or any(isinstance(value.get(inner), Mapping) for inner in (*TRAINED, *AVERAGED))
    }
    return holders if len(holders) == 1 else {}


def _sharded(path: Path) -> dict[str, Tensor]:
    index = checked(Index, read_json(path, CheckpointError), str(path), CheckpointError).weight_map
    for name in index.values():
        if Path(name).name != name or Path(name).suffix not in (".safetensors", ".bin"):
            raise CheckpointError(f"{path}: weight_map has {BRIEF.repr(name)}, expected weights in the same folder")
    shards = {name: _whole(path.parent / name)[0] for name in sorted(set(index.values()))}
    missing = [f"{name} in {file}" for name, file in index.items() if name not in shards[file]]
    if missing:
        raise CheckpointError(f"{path}: there is no {', no '.join(missing[:3])}", missing)
    return {name: shards[file][name] for name, file in index.items()}
