"""Folders as diffusers writes them, with small networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DModel, VQModel
from safetensors.torch import save_file

NETWORKS: dict[str, Any] = {"UNet2DModel": UNet2DModel, "VQModel": VQModel, "AutoencoderKL": AutoencoderKL}
BASE: dict[str, dict[str, Any]] = {
    "UNet2DModel": {
        "block_out_channels": (32, 64),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "attention_head_dim": 16,
    },
    "VQModel": {
        "block_out_channels": (32, 64),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "num_vq_embeddings": 16,
    },
}
BASE["AutoencoderKL"] = {key: value for key, value in BASE["VQModel"].items() if key != "num_vq_embeddings"}
SMALL = {"UNet2DModel": "unet", "VQModel": "vqvae", "AutoencoderKL": "vae"}


def write(folder: Path, kind: str, settings: dict[str, Any], network: Any = None) -> None:
    """A network's folder; its weights if there is a network."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"_class_name": kind, "_diffusers_version": "9.9"} | settings))
    if network is not None:
        save_file(network.state_dict(), folder / "diffusion_pytorch_model.safetensors")


def write_scheduler(folder: Path, kind: str = "DDIMScheduler", **settings: Any) -> None:
    """A scheduler's folder; what is not said is that of CelebA-HQ's latent diffusion."""
    ours = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear"} | settings
    (folder / "scheduler").mkdir(exist_ok=True)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"_class_name": kind} | ours))


def folder_of(folder: Path, kind: str, settings: dict[str, Any], network: Any = None) -> Path:
    """A folder with this network and small ones for what else there must be."""
    other = "VQModel" if kind == "UNet2DModel" else "UNet2DModel"
    write(folder / SMALL[other], other, BASE[other])
    write(folder / SMALL[kind], kind, settings, network)
    write_scheduler(folder)
    return folder


def filled(kind: str, settings: dict[str, Any]) -> Any:
    """A network of diffusers, of numbers that are not as constructed."""
    numbers = torch.Generator().manual_seed(0)
    network = NETWORKS[kind](**settings).eval()
    for value in network.state_dict().values():
        value += 0.1 * torch.randn(value.shape, generator=numbers)
    return network
