"""Folders of diffusers: `unet/`, `vqvae/` or `vae/`, `scheduler/`, each with a configuration and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from midms.checkpoints import CheckpointError
from midms.conversion.fit import Ledger
from midms.conversion.names import diffusers
from midms.conversion.pickles import tensors
from midms.conversion.sizes import named_schedule
from midms.conversion.source import Source, read_json
from midms.presets import Spec

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
AUTOENCODERS = {"VQModel": "vqvae", "AutoencoderKL": "vae"}
PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
UNET = {
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "downsample_padding": 1,
    "norm_eps": 1e-5,
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "act_fn": "silu",
    "mid_block_scale_factor": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "resnet_time_scale_shift": "default",
    "add_attention": True,
    "class_embed_type": None,
    "num_class_embeds": None,
}
"""What a network must be like, with what diffusers takes where its configuration says nothing."""


def is_folder(path: Path) -> bool:
    """Whether a folder is one of diffusers, as far as its files' names tell."""
    return (path / "unet" / "config.json").is_file()


def convert(path: Path) -> Source:
    """The denoiser and the autoencoder of a latent diffusion.

    The latents of a VQ are not scaled, whatever its configuration says or leaves to diffusers' default: CompVis trained
    them so (huggingface/diffusers issue 6725). Those of a KL are scaled by its `scaling_factor`.

    Raises:
        CheckpointError: a file is missing or cannot be read, or something does not fit; later, its weights.
    """
    scheduler = read_json(path / "scheduler" / "scheduler_config.json")
    place = next((folder for folder in ("vqvae", "vae") if (path / folder).is_dir()), None)
    if place is None:
        raise CheckpointError(f"{path}: has neither vqvae/ nor vae/")
    folders = {"denoiser": path / "unet", "autoencoder": path / place}
    try:
        schedule = _schedule(path, scheduler)
        parts = {
            "denoiser": _denoiser(path / "unet" / "config.json", scheduler),
            "autoencoder": _autoencoder(path / place / "config.json"),
        }
    except KeyError as error:
        raise CheckpointError(f"{path}: its configurations do not say {error}") from None
    return Source(str(path), parts, schedule, lambda slot: _state(slot, parts[slot], folders[slot]))


def _state(slot: str, spec: Spec, folder: Path) -> dict[str, Tensor]:
    file = next((folder / name for name in WEIGHTS if (folder / name).is_file()), folder / WEIGHTS[0])
    ledger = Ledger(str(file), tensors(file))
    state = ledger.take(spec, slot, partial(diffusers, present=ledger.tensors))
    ledger.check(str(folder / "config.json"), ledger.leftover())
    return state


def _denoiser(path: Path, scheduler: Mapping[str, Any]) -> Spec:
    config = read_json(path)
    for key, usual in UNET.items():
        if (found := config.get(key, usual)) != usual:
            raise CheckpointError(f"{path}: {key} is {found!r}, supported: {usual!r}")
    odd = {*config["down_block_types"]} - {"DownBlock2D", "AttnDownBlock2D"}
    if odd:
        raise CheckpointError(
            f"{path}: has blocks of the kind {', '.join(sorted(odd))}, supported: DownBlock2D, AttnDownBlock2D"
        )
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise CheckpointError(
            f"{path.parent.parent}: prediction_type is {prediction!r}, supported: {', '.join(PREDICTIONS)}"
        )
    arguments = {
        "channels": config["in_channels"],
        "widths": tuple(config["block_out_channels"]),
        "attention": tuple(kind == "AttnDownBlock2D" for kind in config["down_block_types"]),
        "layers": config.get("layers_per_block", 2),
        "norm_groups": config.get("norm_num_groups", 32),
    }
    width = config.get("attention_head_dim", 8)
    arguments |= {"heads": 1} if width is None else {"head_dim": width}
    return Spec(
        "unconditional", **arguments, **({} if prediction == "epsilon" else {"prediction": PREDICTIONS[prediction]})
    )


def _autoencoder(path: Path) -> Spec:
    config = read_json(path)
    arguments = {
        "channels": config["latent_channels"],
        "widths": tuple(config["block_out_channels"]),
        "layers": config.get("layers_per_block", 1),
        "norm_groups": config.get("norm_num_groups", 32),
    }
    if config.get("_class_name") == "AutoencoderKL":
        return Spec("kl", **arguments, scale=config.get("scaling_factor", 0.18215))
    if config.get("vq_embed_dim") not in (None, config["latent_channels"]):
        raise CheckpointError(f"{path}: codes of another width than the latent's are not supported")
    return Spec("vq", **arguments, codes=config["num_vq_embeddings"])


def _schedule(path: Path, scheduler: Mapping[str, Any]) -> str:
    where = f"{path}: scheduler"
    if (found := scheduler.get("beta_schedule")) != "scaled_linear":
        raise CheckpointError(f"{where}: beta_schedule is {found!r}, supported: 'scaled_linear'")
    return named_schedule(scheduler["beta_start"], scheduler["beta_end"], where)
