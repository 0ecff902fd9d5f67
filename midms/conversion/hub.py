"""Folders of diffusers on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from midms.checkpoints import CheckpointError

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
CONFIGS = ["unet/config.json", "v*vae/config.json", "vae/config.json", "scheduler/scheduler_config.json"]
FOLDERS = ("unet", "vqvae", "vae")


def fetch(name: str) -> Path:
    """The folder that a hub id stands for, from the cache or the hub: configurations and one file of weights a part.

    Raises:
        CheckpointError: it cannot be had; the message says which local folder would do.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=[*CONFIGS, "*/diffusion_pytorch_model.safetensors"]))
        lacking = [
            part for part in FOLDERS if (folder / part).is_dir() and not [*(folder / part).glob("*.safetensors")]
        ]
        if lacking:
            snapshot_download(name, allow_patterns=[f"{part}/diffusion_pytorch_model.bin" for part in lacking])
    except Exception as error:  # a network, a proxy or a server may raise anything
        raise CheckpointError(
            f"{name}: cannot be had from the hub ({_one_line(error)}); a local copy of its folder would do, "
            "with unet/, vqvae/ or vae/, and scheduler/ in it"
        ) from None
    return folder


def _one_line(error: Exception) -> str:
    """The first sentence."""
    return re.split(r"(?<=[.!?]) ", " ".join(str(error).split()))[0] or type(error).__name__
