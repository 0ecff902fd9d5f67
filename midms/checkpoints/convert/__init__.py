"""Weights of others: the released MIDMs, CompVis' latent diffusion, folders of diffusers, the hub."""

from __future__ import annotations

import os
from pathlib import Path

from midms.checkpoints.composition import CONFIG as COMPOSITION
from midms.checkpoints.convert import compvis, diffusers_folder, hub, source
from midms.checkpoints.convert.source import Source
from midms.checkpoints.tensors import CheckpointError

__all__ = ["Source", "convert", "find"]


def convert(path: Path, config: Path | None = None, trainable: bool = False, half: bool = False) -> Source:
    """Weights of the released MIDMs, of CompVis' latent diffusion, or of a folder of diffusers.

    Args:
        path: a `.pth` or `.ckpt`, or a folder with `unet/`, `vqvae/` or `vae/`, and `scheduler/`.
        config: the YAML of the latent diffusion; a folder has its own, and takes none.
        trainable: keep the matching network's spectral norms, to train on; a folder has no such network.
        half: take weights in half precision too.

    Raises:
        CheckpointError: a file cannot be read, or something is missing or does not fit; the message says what.
    """
    if path.is_dir():
        if not diffusers_folder.is_folder(path):
            raise CheckpointError(f"{path}: is no folder of diffusers, it has no unet/config.json")
        if config is not None or trainable:
            given = "trainable" if config is None else "config"
            raise CheckpointError(f"{given}: changes nothing of a folder of diffusers, as {path} is")
        return diffusers_folder.convert(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file or folder")
    if config is None:
        raise CheckpointError(f"{path}: --config is needed, the YAML that the latent diffusion was trained with")
    return compvis.convert(path, config, trainable, half)


def find(weights: str | Path) -> Source | None:
    """What `weights=` of `build` names: a converted folder, a folder of diffusers, or a hub id.

    Returns:
        None for a folder that says nothing of its parts: it has the preset's file names.

    Raises:
        CheckpointError: there is no such folder, or it cannot be used.
    """
    path = Path(weights)
    if path.is_file():
        raise CheckpointError(
            f"{path}: is a file; `midms convert {path} --config LDM.yaml --out FOLDER` makes a folder of it"
        )
    if os.path.lexists(path / source.CONFIG):
        return source.read(path)
    if os.path.lexists(path / COMPOSITION):
        raise CheckpointError(
            f"{path}: is a whole composition; midms.from_pretrained({str(path)!r}), or --preset {path}"
        )
    if diffusers_folder.is_folder(path):
        return diffusers_folder.convert(path)
    if path.is_dir():
        return None
    if hub.HUB_ID.fullmatch(str(weights)):
        return diffusers_folder.convert(hub.fetch(str(weights)))
    raise CheckpointError(f"there is no folder {weights}")
