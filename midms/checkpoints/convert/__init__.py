"""Weights of others: the released MIDMs, CompVis' latent diffusion, folders of diffusers, the hub."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from midms.checkpoints import folder as weights_folder
from midms.checkpoints.convert import compvis, diffusers_folder, hub
from midms.checkpoints.folder import CONFIG, FAILURE, Weights, write_text
from midms.core.errors import IdlePrompt, printable
from midms.core.files import kind_of, made
from midms.core.tensors import CheckpointError, cast, check_weights_file
from midms.core.types import NO_PROMPT, Prompt

__all__ = ["convert", "find", "save", "write_failure"]

REPORT = "report.txt"
"""What was left out of a checkpoint, beside the weights."""


def convert(path: Path, config: Path | None = None, trainable: bool = False, half: bool = False) -> Weights:
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
            raise CheckpointError(
                f"{path}: is no folder of diffusers, it has no unet/config.json or transformer/config.json"
            )
        if config is not None or trainable:
            given = "trainable" if config is None else "config"
            raise CheckpointError(f"{given}: changes nothing of a folder of diffusers, as {path} is")
        return diffusers_folder.from_diffusers(path)
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or folder")
    check_weights_file(path)
    if config is None:
        raise CheckpointError(f"{path}: --config is needed, the YAML that the latent diffusion was trained with")
    return compvis.from_compvis(path, config, trainable, half)


def save(weights: Weights, folder: Path, replace: bool = False) -> None:
    """Leave converted weights in a folder of ours, with their report.

    Args:
        weights: what to write.
        folder: made if need be; killed at any moment it is as it was or as it will be.
        replace: whether the folder may hold something else, of which files of the same names are replaced.

    Raises:
        CheckpointError: it does, a number is not finite, or the disk refuses.
        HeldError: another process writes to it.
    """
    states = {slot: cast(weights.state(slot), None, f"{weights.name}, {slot}") for slot in weights.parts}
    left_out = {reason: len(names) for reason, names in weights.report.items() if names}
    recipe = dataclasses.replace(weights.recipe, made={"conversion": {"from": weights.name, "left out": left_out}})
    lines = [line for reason, names in weights.report.items() for line in (reason, *names)]
    weights_folder.write_folder(folder, "convert", recipe, states, {REPORT: _lines(lines), FAILURE: ""}, replace)


def write_failure(lines: Sequence[str], folder: Path) -> Path:
    """Why a conversion failed, a line each reason; the folder is made if need be, and what is in it stays."""
    with made(folder):
        write_text(folder / FAILURE, _lines(lines))
    return folder / FAILURE


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{printable(line)}\n" for line in lines)


def find(weights: str | Path, prompt: Prompt = NO_PROMPT) -> Weights:
    """What `weights=` of `build`, or `from_pretrained`, names: a folder of ours, one of diffusers, or a hub id.

    Or a single file of a text-to-image model that lies in a folder of diffusers.

    Args:
        weights: its name.
        prompt: of a text-to-image model of diffusers.

    Raises:
        CheckpointError: there is no such folder, or it cannot be used.
        IdlePrompt: it has nobody to tell the prompt.
    """
    if not isinstance(weights, str | os.PathLike):
        raise CheckpointError(
            f"{weights!r}: is {type(weights).__name__}, expected a folder or the id of one on the hub"
        )
    if not str(weights):
        raise CheckpointError("'': expected a folder or the id of one on the hub, got nothing")
    path = Path(weights)
    if path.is_file():
        if diffusers_folder.is_folder(path.parent):
            return diffusers_folder.from_diffusers(path.parent, prompt, path)
        raise CheckpointError(
            f"{path}: is a file; `midms convert {path} --config LDM.yaml --out FOLDER` makes a folder of a latent "
            "diffusion; that of a text-to-image model is read where it lies beside its configurations in folders, "
            "unet/ or transformer/, vae/, scheduler/, tokenizer/ and text_encoder/"
        )
    if not path.is_dir():
        if path.exists():
            raise CheckpointError(f"{path}: is {kind_of(path)}, expected a folder of weights")
        if not hub.HUB_ID.fullmatch(str(weights)):
            raise CheckpointError(f"there is no folder {weights}")
        path = hub.fetch(str(weights))
    if diffusers_folder.is_folder(path) and not os.path.lexists(path / CONFIG):
        return diffusers_folder.from_diffusers(path, prompt)
    diffusers_folder.check_whole(path)
    if prompt != NO_PROMPT:
        raise IdlePrompt(
            f"{prompt.given}: changes nothing of {path}, which keeps its prompt beside the weights; expected the folder"
            " of diffusers that they are from"
        )
    return weights_folder.read_folder(path)
