"""Folders of diffusers: `unet/` or `transformer/`, `vqvae/` or `vae/`, `scheduler/`, each with its configuration."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from midms.checkpoints.convert.families import PROMPTS, prompts_of
from midms.checkpoints.convert.fit import TensorUse, recipe_of
from midms.checkpoints.convert.names import diffusers
from midms.checkpoints.convert.pipeline_parts import Settings, parts_of
from midms.checkpoints.convert.single_file import SingleFile
from midms.checkpoints.convert.text_encoders import INDEX_FILE, FolderEncoders
from midms.checkpoints.convert.weights import WHOLE_PIPELINE, read_settings, tensors, weights_of
from midms.checkpoints.folder import Weights
from midms.compose.spec import Spec
from midms.core.schema import BRIEF, read_json
from midms.core.tensors import CheckpointError
from midms.core.types import NO_PROMPT, Prompt

_NETWORKS = ("unet", "transformer")
_OTHERS = ("vae", "vqvae", "movq", "scheduler", "text_encoder", "tokenizer", "prior", "decoder")
"""Folders that lie beside a network in folders of diffusers."""
_PIPELINES = re.compile(r"(Stable|Latent)Diffusion|Flux(?!2)|LDM|LatentConsistency|MIDMs")
"""What names of pipelines of families that are known begin with."""
KNOWN = "Stable Diffusion 1 and 2, SDXL, Stable Diffusion 3 and FLUX.1"


def is_folder(path: Path) -> bool:
    """Whether a folder is one of diffusers, as far as its files' names tell."""
    return any(os.path.lexists(path / network / "config.json") for network in _NETWORKS)


def check_whole(path: Path) -> None:
    """Find out whether a folder that is none of diffusers was meant as one.

    Raises:
        CheckpointError: it is a part of one, it holds one, or it lacks the network.
    """
    own = path / "config.json"
    said = read_json(own, CheckpointError) if own.is_file() else None
    if isinstance(said, dict) and (kind := said.get("_class_name") or said.get("architectures")):
        raise CheckpointError(
            f"{path}: is the folder of a {kind if isinstance(kind, str) else BRIEF.repr(kind)} alone, expected that "
            "of the whole pipeline, which it lies in"
        )
    if (path / INDEX_FILE).is_file() or sum((path / name).is_dir() for name in (*_NETWORKS, *_OTHERS)) > 1:
        raise CheckpointError(
            f"{path}: has neither unet/config.json nor transformer/config.json, {WHOLE_PIPELINE}{_of_no_family(path)}"
        )
    inside = [one for one in path.iterdir() if one.is_dir() and is_folder(one)]
    if inside and not own.is_file():
        raise CheckpointError(
            f"{path}: is no folder of diffusers, but {', '.join(one.name for one in inside)} in it is"
        )


def _of_no_family(path: Path) -> str:
    """What to add to errors of a folder whose pipeline is of a family that nothing here is for."""
    said = None
    with contextlib.suppress(CheckpointError):  # it is another error's turn
        said = read_json(path / INDEX_FILE, CheckpointError)
    name = said.get("_class_name") if isinstance(said, dict) else None
    name = name[-1] if isinstance(name, list) and name else name
    known = not isinstance(name, str) or _PIPELINES.match(name)
    return "" if known else f"; it is a {BRIEF.repr(name)}, of no family that is known here: {KNOWN}"


def from_diffusers(path: Path, prompt: Prompt = NO_PROMPT, single: Path | None = None) -> Weights:
    """The denoiser and the autoencoder of a latent diffusion, or of a text-to-image model with its prompts embedded.

    The latents of a VQ are not scaled, whatever its configuration says or leaves to diffusers' default: CompVis trained
    them so (huggingface/diffusers issue 6725). Those of a KL are scaled by its `scaling_factor`.

    Args:
        path: the folder.
        prompt: for text-to-image models.
        single: a file in the folder with weights of a whole model, which go before those of the folder.

    Raises:
        CheckpointError: a file is missing or cannot be read, or something does not fit; later, its weights.
        IdlePrompt: there is nobody to tell the prompt.
    """
    file = None if single is None else SingleFile(single)
    network = "unet" if os.path.lexists(path / "unet" / "config.json") else "transformer"
    try:
        place = next((folder for folder in ("vqvae", "vae") if (path / folder).is_dir()), None)
        if place is None:
            raise CheckpointError(f"{path}: has neither vqvae/ nor vae/, {WHOLE_PIPELINE}")
        folders = {"denoiser": path / network, "autoencoder": path / place}
        settings = Settings(
            _read(folders["denoiser"] / "config.json"),
            _read(path / "scheduler" / "scheduler_config.json"),
            _read(folders["autoencoder"] / "config.json"),
            FolderEncoders(path, file),
        )
        parts, schedule, report = parts_of(settings, prompt)
    except CheckpointError as error:
        if more := _of_no_family(path):
            raise CheckpointError(f"{error}{more}") from None
        raise

    def state(slot: str) -> dict[str, Tensor]:
        in_words = slot == "denoiser" and parts[slot].name != "unconditional"
        words = prompts_of(settings.encoders, parts[slot], prompt) if in_words else {}
        whole = file and file.state(slot, parts[slot], _of_network)
        return (whole or _state(slot, parts[slot], folders[slot])) | words

    return Weights(str(single or path), recipe_of(parts, schedule), state, report=report)


def _read(path: Path) -> tuple[Mapping[str, Any], str]:
    """The settings in a file, and what errors call it."""
    content = read_settings(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected settings by name, got {BRIEF.repr(content)}")
    return content, str(path)


def _state(slot: str, spec: Spec, folder: Path) -> dict[str, Tensor]:
    file = weights_of(folder)
    ledger = TensorUse(str(file), tensors(file))
    state = ledger.take(spec, slot, lambda names: diffusers(_of_network(names), present=ledger.tensors))
    ledger.networks.add("")  # there is nothing else in such a file
    ledger.check(str(folder / "config.json"), ledger.leftover())
    return state


def _of_network(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith(PROMPTS)]
