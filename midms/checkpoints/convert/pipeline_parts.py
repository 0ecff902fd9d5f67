"""What a pipeline of diffusers says of itself: from the configurations of its parts to ours."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from midms.checkpoints.convert.families import FLOW_SCHEDULER, TEXT_TO_IMAGE, denoiser_of, flow_of
from midms.checkpoints.convert.settings import (
    Channels,
    Codes,
    Groups,
    Kinds,
    Layers,
    NoiseSettings,
    Scale,
    Widths,
    schedule_of,
    settled,
)
from midms.checkpoints.convert.text_encoders import TextEncoders
from midms.compose.spec import Spec
from midms.core.errors import IdlePrompt
from midms.core.schema import BRIEF, Schema
from midms.core.tensors import CheckpointError
from midms.core.types import NO_PROMPT, Prompt
from midms.diffusion.autoencoders.vq import VQModel
from midms.diffusion.denoisers.unet import UNet2DModel
from midms.diffusion.levels import Schedule

_PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
_STEPS = (
    *("clip_sample", "set_alpha_to_one", "skip_prk_steps", "steps_offset", "timestep_spacing"),
    *("predict_x0", "tensor_format", "timestep_values", "clip_sample_range", "sample_max_value"),
    *("dynamic_thresholding_ratio", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "sigma_min"),
    *("sigma_max", "final_sigmas_type", "timestep_type", "interpolation_type", "solver_order", "solver_type"),
    *("algorithm_type", "lower_order_final", "euler_at_final", "lambda_min_clipped", "disable_corrector"),
    *("original_inference_steps", "timestep_scaling"),
)
"""Settings of a scheduler's own steps, which a preset's sampler takes the place of; other classes ignore them."""

_OTHER_STEPS = "of the scheduler's own steps, which the sampler of a preset takes the place of"
OLDER = {"timesteps": "num_train_timesteps"}
"""What settings of a scheduler were called in diffusers' first versions."""


class Settings(NamedTuple):
    """What a pipeline of diffusers says of its parts: of each its settings, and what errors call them.

    Attributes:
        network: of the denoiser.
        scheduler: that it was trained with.
        autoencoder: of its latents.
        encoders: of prompts.
    """

    network: tuple[Mapping[str, Any], str]
    scheduler: tuple[Mapping[str, Any], str]
    autoencoder: tuple[Mapping[str, Any], str]
    encoders: TextEncoders


def parts_of(settings: Settings, prompt: Prompt) -> tuple[dict[str, Spec], Schedule, dict[str, list[str]]]:
    """The denoiser and autoencoder of a pipeline, its schedule, and what of its settings was left out.

    Raises:
        CheckpointError: something does not fit.
        IdlePrompt: there is nobody to tell the prompt.
    """
    (content, where), (scheduler, said), _, encoders = settings
    network_kind = _named(content, where, "UNet2DModel", *TEXT_TO_IMAGE)
    in_words = network_kind in TEXT_TO_IMAGE
    if not in_words and prompt != NO_PROMPT:
        raise IdlePrompt(f"{prompt.given}: changes nothing of {encoders.where}, whose network knows no words")
    autoencoder = _autoencoder(*settings.autoencoder)
    stride, report = 2 ** (len(autoencoder.arguments["widths"]) - 1), {}
    schedule: Schedule
    if scheduler.get("_class_name") == FLOW_SCHEDULER or network_kind.endswith("Transformer2DModel"):
        prediction, schedule = "flow", flow_of(scheduler, said, content, where)
    else:
        kind = _kind(scheduler, said)
        scheduler = {OLDER.get(key, key): value for key, value in scheduler.items()}
        noise = settled(Scheduler, scheduler, kind, _STEPS, said)
        prediction, schedule = _PREDICTIONS[noise.prediction_type], schedule_of(kind, noise, said)
        steps = [f"{key} {BRIEF.repr(scheduler[key])}" for key in _STEPS if key in scheduler]
        report = {_OTHER_STEPS: steps} if steps else {}
    denoiser = (
        _denoiser(content, where, prediction)
        if not in_words
        else denoiser_of(encoders, network_kind, content, where, prediction, stride, prompt)
    )
    return {"denoiser": denoiser, "autoencoder": autoencoder}, schedule, report


class Scheduler(NoiseSettings):
    """What is used of a scheduler's settings."""

    prediction_type: Literal["epsilon", "v_prediction", "sample"]


class Grid(Schema):
    """What is used of the settings of all networks."""

    in_channels: Channels
    out_channels: Channels
    down_block_types: Kinds
    up_block_types: Kinds
    block_out_channels: Widths
    layers_per_block: Layers
    norm_num_groups: Groups

    @model_validator(mode="after")
    def _fits(self) -> Grid:
        for key in ("down_block_types", "up_block_types"):
            if len(getattr(self, key)) != len(self.block_out_channels):
                raise ValueError(f"{key} and block_out_channels must be as many, got {self._shown(key)}")
        if any(width % self.norm_num_groups for width in self.block_out_channels):
            groups = self._shown("norm_num_groups")
            raise ValueError(f"block_out_channels must be multiples of norm_num_groups, got {groups}")
        return self

    def _shown(self, key: str) -> str:
        return f"{BRIEF.repr(getattr(self, key))} and {list(self.block_out_channels)}"


class _UNet(Grid):
    """What is used of a U-Net's settings."""

    down_block_types: Annotated[tuple[Literal["DownBlock2D", "AttnDownBlock2D"], ...], Field(strict=False)]
    attention_head_dim: Channels | None
    attn_norm_num_groups: int | None
    time_embedding_dim: int | None

    @model_validator(mode="after")
    def _mirrored(self) -> _UNet:
        widths = self.block_out_channels
        up = tuple(kind.replace("Down", "Up") for kind in reversed(self.down_block_types))
        if self.up_block_types != up:
            raise ValueError(
                f"up_block_types is {BRIEF.repr(self.up_block_types)}, expected {up}, as down_block_types has it"
            )
        if self.out_channels != self.in_channels:
            raise ValueError(f"out_channels is {self.out_channels}, expected those of in_channels, {self.in_channels}")
        attended = [width for width, attends in zip(widths, self.attends, strict=True) if attends] + [widths[-1]]
        if self.attention_head_dim and any(width % self.attention_head_dim for width in attended):
            raise ValueError(
                f"attention_head_dim is {self.attention_head_dim}, expected a divisor of the widths that attend"
            )
        if self.attn_norm_num_groups not in (None, self.norm_num_groups):
            raise ValueError(f"attn_norm_num_groups is {self.attn_norm_num_groups}, expected norm_num_groups or none")
        if self.time_embedding_dim not in (None, 4 * widths[0]):
            raise ValueError(f"time_embedding_dim is {self.time_embedding_dim}, supported: {4 * widths[0]}")
        return self

    @property
    def attends(self) -> tuple[bool, ...]:
        """Whether each level has attention."""
        return tuple(kind == "AttnDownBlock2D" for kind in self.down_block_types)


class _Stage(Grid):
    """What is used of an autoencoder's settings."""

    in_channels: Literal[3]
    out_channels: Literal[3]
    down_block_types: Annotated[tuple[Literal["DownEncoderBlock2D"], ...], Field(strict=False)]
    up_block_types: Annotated[tuple[Literal["UpDecoderBlock2D"], ...], Field(strict=False)]
    latent_channels: Channels


class _KL(_Stage):
    """What is used of an AutoencoderKL's settings."""

    scaling_factor: Scale
    shift_factor: float | None
    use_quant_conv: bool
    use_post_quant_conv: bool

    @model_validator(mode="after")
    def _paired(self) -> _KL:
        if self.use_quant_conv != self.use_post_quant_conv:
            raise ValueError(f"use_post_quant_conv is {self.use_post_quant_conv}, expected it as use_quant_conv is")
        return self


class _VQ(_Stage):
    """What is used of a VQModel's settings. Its latents are not scaled: diffusers' default is not meant."""

    num_vq_embeddings: Codes
    vq_embed_dim: int | None
    scaling_factor: float

    @model_validator(mode="after")
    def _codes(self) -> _VQ:
        if self.vq_embed_dim not in (None, self.latent_channels):
            raise ValueError(f"vq_embed_dim is {self.vq_embed_dim}, supported: {self.latent_channels}, the latent's")
        usual = inspect.signature(VQModel).parameters["scaling_factor"].default
        if self.scaling_factor not in (1, usual):
            raise ValueError(f"scaling_factor is {self.scaling_factor}, supported: 1 and {usual}, which stands for it")
        return self


def _denoiser(content: Mapping[str, Any], where: str, prediction: str) -> Spec:
    said = settled(_UNet, content, UNet2DModel, ("sample_size", "dropout", "num_train_timesteps"), where)
    arguments: dict[str, Any] = {
        "channels": said.in_channels,
        "widths": said.block_out_channels,
        "attention": said.attends,
        "layers": said.layers_per_block,
        "norm_groups": said.norm_num_groups,
    }
    arguments |= {"heads": 1} if said.attention_head_dim is None else {"head_dim": said.attention_head_dim}
    return Spec("unconditional", **arguments, **({} if prediction == "eps" else {"prediction": prediction}))


def _autoencoder(content: Mapping[str, Any], where: str) -> Spec:
    kind = _named(content, where, "VQModel", "AutoencoderKL")
    unused = ("sample_size", "force_upcast")
    said: _KL | _VQ
    if kind == "AutoencoderKL":
        from midms.diffusion.autoencoders.kl import AutoencoderKL  # here, for its import takes four CPU seconds

        said = settled(_KL, content, AutoencoderKL, unused, where)
    else:
        said = settled(_VQ, content, VQModel, unused, where)
    arguments: dict[str, Any] = {
        "channels": said.latent_channels,
        "widths": said.block_out_channels,
        "layers": said.layers_per_block,
        "norm_groups": said.norm_num_groups,
    }
    if isinstance(said, _KL):
        more = {"shift": said.shift_factor} if said.shift_factor else {}
        more |= {} if said.use_quant_conv else {"quant_conv": False}
        return Spec("kl", **arguments, scale=said.scaling_factor, **more)
    return Spec("vq", **arguments, codes=said.num_vq_embeddings)


def _named(content: Mapping[str, Any], where: str, *kinds: str) -> str:
    """The class that settings are for."""
    if "_class_name" not in content:
        raise CheckpointError(f"{where}: has no _class_name, expected one of {', '.join(kinds)}")
    found = content["_class_name"]
    if found not in kinds:
        raise CheckpointError(f"{where}: is for {BRIEF.repr(found)}, supported: {', '.join(kinds)}")
    return str(found)


def _kind(scheduler: Mapping[str, Any], where: str) -> Any:
    """The class of a scheduler, if it is one that has betas."""
    name = scheduler.get("_class_name")
    kind = None
    if isinstance(name, str) and name.endswith("Scheduler") and name.isidentifier():
        try:
            kind = getattr(importlib.import_module("diffusers.schedulers"), name, None)
        except (ImportError, RuntimeError):  # one that wants what is not installed
            kind = None
    if kind is None or "beta_schedule" not in inspect.signature(kind).parameters:
        raise CheckpointError(f"{where}: is for {BRIEF.repr(name)}, which is no scheduler of diffusers with betas")
    return kind
