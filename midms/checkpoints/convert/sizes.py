"""What a latent diffusion's YAML says, as our parts and their sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midms.checkpoints.convert.compvis_settings import GROUPS, Config, FirstStageConfig, UNet
from midms.checkpoints.convert.settings import NoiseSettings, schedule_of
from midms.compose.spec import Spec
from midms.core.schema import checked, read_yaml
from midms.core.tensors import CheckpointError
from midms.diffusion.lean import load_network
from midms.diffusion.levels import Schedule

DDIMScheduler = load_network("diffusers.schedulers.scheduling_ddim", "DDIMScheduler")
SHAPES = {"linear": "scaled_linear", "sqrt_linear": "linear", "cosine": "squaredcos_cap_v2"}
"""CompVis' names of how betas rise, and diffusers'."""
_LARGEST = 2**15
"""Bytes of the largest YAML that is read."""


@dataclass(frozen=True)
class Sizes:
    """A latent diffusion.

    Attributes:
        denoiser: the network and its sizes.
        autoencoder: the first stage and its sizes, but for its scale.
        schedule: one of `midms.diffusion.levels.SCHEDULES`, or betas.
        scale: what latents are multiplied by for the diffusion; None if only the checkpoint knows.
    """

    denoiser: Spec
    autoencoder: Spec
    schedule: Schedule
    scale: float | None = 1.0


def read_sizes(path: Path) -> Sizes:
    """The parts of a latent diffusion from its YAML.

    Raises:
        CheckpointError: the file cannot be read, lacks something, or describes what no part here is; the message names
            the key.
    """
    said = checked(Config, read_yaml(path, CheckpointError, _LARGEST), str(path), CheckpointError).model.params
    noise = NoiseSettings(
        num_train_timesteps=said.timesteps,
        beta_start=said.linear_start,
        beta_end=said.linear_end,
        beta_schedule=SHAPES[said.beta_schedule],
        trained_betas=said.given_betas,
    )
    return Sizes(
        denoiser=_denoiser(said.unet_config.params, said.parameterization),
        autoencoder=_autoencoder(said.first_stage_config),
        schedule=schedule_of(DDIMScheduler, noise, str(path)),
        scale=None if said.scale_by_std else said.scale_factor,
    )


def _denoiser(unet: UNet, parameterization: str) -> Spec:
    arguments: dict[str, Any] = {
        "channels": unet.in_channels,
        "widths": unet.widths,
        "attention": unet.attends,
        "layers": unet.num_res_blocks,
        "norm_groups": GROUPS,
    }
    if parameterization != "eps":
        arguments["prediction"] = parameterization
    arguments |= unet.heads
    return Spec("unconditional", **arguments, **({"biggan": True} if unet.resblock_updown else {}))


def _autoencoder(config: FirstStageConfig) -> Spec:
    stage = config.params
    arguments: dict[str, Any] = {
        "channels": stage.embed_dim,
        "widths": stage.ddconfig.widths,
        "layers": stage.ddconfig.num_res_blocks,
        "norm_groups": GROUPS,
    }
    return Spec("kl", **arguments) if config.is_kl else Spec("vq", **arguments, codes=stage.n_embed)
