"""The settings of CompVis' classes (github.com/CompVis/latent-diffusion), as a latent diffusion's YAML has them.

Each is used, or must be as it usually is, or is of training alone: those are `object`, and may be anything.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict, model_validator

from midms.checkpoints.convert.settings import Beta, Betas, Channels, Codes, Layers, Scale, Timesteps
from midms.core.schema import Schema, matching_text

GROUPS = 32
"""Groups of every normalisation in CompVis' networks."""
Whole = Annotated[int, Field(ge=1, le=2**10)]
Multiples = Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Strict(False), Field(min_length=1, max_length=8)]
Downscalings = Annotated[tuple[Whole, ...], Strict(False), Field(max_length=16)]
Heads = Annotated[int, Field(ge=-1, le=2**10)]
_FIRST_STAGES = ("VQModelInterface", "VQModel", "AutoencoderKL")
Nothing = Annotated[tuple[int, ...], Strict(False), Field(max_length=0)]


class UNet(Schema):
    """CompVis' `UNetModel`."""

    image_size: object = None
    in_channels: Channels
    model_channels: Channels
    out_channels: Channels
    num_res_blocks: Layers
    attention_resolutions: Downscalings
    channel_mult: Multiples = (1, 2, 4, 8)
    num_heads: Heads = -1
    num_head_channels: Heads = -1
    num_heads_upsample: Heads = -1
    use_scale_shift_norm: bool = False
    resblock_updown: bool = False
    dropout: object = 0
    use_checkpoint: object = False
    legacy: object = True
    transformer_depth: object = 1
    conv_resample: Literal[True] = True
    dims: Literal[2] = 2
    num_classes: None = None
    use_fp16: Literal[False] = False
    use_new_attention_order: Literal[False] = False
    use_spatial_transformer: Literal[False] = False
    context_dim: None = None
    n_embed: None = None

    @model_validator(mode="after")
    def _fits(self) -> UNet:
        if self.out_channels != self.in_channels:
            raise ValueError(
                f"unet_config: out_channels is {self.out_channels}, expected in_channels={self.in_channels}"
            )
        if self.resblock_updown != self.use_scale_shift_norm:
            raise ValueError("unet_config: resblock_updown without use_scale_shift_norm, or the other way round")
        _grouped("unet_config: model_channels and channel_mult", self.widths)
        if 0 in (self.num_heads, self.num_head_channels) or self.num_heads_upsample not in (-1, self.num_heads):
            raise ValueError("unet_config: num_heads, num_head_channels and num_heads_upsample do not go together")
        name, size = next(iter(self.heads.items()))
        attended = [width for width, attends in zip(self.widths, self.attends, strict=True) if attends]
        if any(width % size for width in (*attended, self.widths[-1])):
            key = "num_head_channels" if name == "head_dim" else "num_heads"
            raise ValueError(f"unet_config: {key} is {size}, expected a divisor of the widths that attend")
        return self

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.model_channels * multiple for multiple in self.channel_mult)

    @property
    def attends(self) -> tuple[bool, ...]:
        """Whether each level has attention."""
        return tuple(2**level in self.attention_resolutions for level in range(len(self.channel_mult)))

    @property
    def heads(self) -> dict[str, int]:
        """Heads of one width, or so many at every level; one where nothing is said."""
        if self.num_head_channels != -1:
            return {"head_dim": self.num_head_channels}
        return {"heads": max(self.num_heads, 1)}


class _Stage(Schema):
    """Encoder and decoder of CompVis' first stages."""

    z_channels: Channels
    ch: Channels
    ch_mult: Multiples = (1, 2, 4, 8)
    num_res_blocks: Layers
    double_z: bool = True
    resolution: object = None
    dropout: object = 0.0
    attn_resolutions: Nothing
    in_channels: Literal[3]
    out_ch: Literal[3]
    resamp_with_conv: Literal[True] = True
    give_pre_end: Literal[False] = False
    tanh_out: Literal[False] = False
    use_linear_attn: Literal[False] = False
    attn_type: Literal["vanilla", "vanilla-xformers"] = "vanilla"

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at each resolution."""
        return tuple(self.ch * multiple for multiple in self.ch_mult)


class FirstStage(Schema):
    """CompVis' `VQModel`, `VQModelInterface` and `AutoencoderKL`."""

    embed_dim: Channels
    n_embed: Codes | None = None
    ddconfig: _Stage
    lossconfig: object = None
    ckpt_path: object = None
    ignore_keys: object = None
    image_key: object = None
    monitor: object = None
    batch_resize_range: object = None
    scheduler_config: object = None
    lr_g_factor: object = None
    use_ema: object = False
    sane_index_shape: object = False
    colorize_nlabels: None = None
    remap: None = None

    @model_validator(mode="after")
    def _fits(self) -> FirstStage:
        if self.ddconfig.z_channels != self.embed_dim:
            raise ValueError(
                f"first_stage_config: z_channels is {self.ddconfig.z_channels}, supported: {self.embed_dim}"
            )
        _grouped("first_stage_config: ch and ch_mult", self.ddconfig.widths)
        return self


def _grouped(name: str, widths: tuple[int, ...]) -> None:
    if any(width % GROUPS for width in widths):
        raise ValueError(f"{name} make widths of {list(widths)}, expected multiples of {GROUPS}")


class UNetConfig(Schema):
    """The class of a network and its settings."""

    target: Annotated[str, matching_text(r"(.*\.)?UNetModel", "a UNetModel")] = "UNetModel"
    params: UNet


class FirstStageConfig(Schema):
    """The class of a first stage and its settings."""

    target: Annotated[str, matching_text(rf"(.*\.)?({'|'.join(_FIRST_STAGES)})", f"one of {', '.join(_FIRST_STAGES)}")]
    params: FirstStage

    @model_validator(mode="after")
    def _fits(self) -> FirstStageConfig:
        if self.is_kl != self.params.ddconfig.double_z:
            raise ValueError(f"first_stage_config: double_z is {self.params.ddconfig.double_z} for {self.target}")
        if self.is_kl != (self.params.n_embed is None):
            raise ValueError(f"first_stage_config: n_embed is {self.params.n_embed} for {self.target}")
        return self

    @property
    def is_kl(self) -> bool:
        """Whether it is the kind KL, not the kind VQ."""
        return self.target.endswith("AutoencoderKL")


class Diffusion(Schema):
    """CompVis' `LatentDiffusion`."""

    unet_config: UNetConfig
    first_stage_config: FirstStageConfig
    cond_stage_config: Literal["__is_unconditional__"] | None = None
    linear_start: Beta = 1e-4
    linear_end: Beta = 2e-2
    timesteps: Timesteps = 1000
    beta_schedule: Literal["linear", "sqrt_linear", "cosine"] = "linear"
    given_betas: Betas | None = None
    cosine_s: Annotated[float, Field(ge=8e-3, le=8e-3)] = 8e-3
    parameterization: Literal["eps", "x0", "v"] = "eps"
    scale_factor: Scale = 1.0
    scale_by_std: bool = False
    conditioning_key: None = None
    use_positional_encodings: Literal[False] = False
    base_learning_rate: object = None
    channels: object = None
    ckpt_path: object = None
    clip_denoised: object = True
    concat_mode: object = True
    cond_stage_forward: object = None
    cond_stage_key: object = None
    cond_stage_trainable: object = False
    first_stage_key: object = None
    ignore_keys: object = None
    image_size: object = None
    l_simple_weight: object = 1.0
    learn_logvar: object = False
    load_only_unet: object = False
    log_every_t: object = None
    logvar_init: object = 0.0
    loss_type: object = "l2"
    monitor: object = None
    num_timesteps_cond: object = None
    original_elbo_weight: object = 0.0
    scheduler_config: object = None
    use_ema: object = True
    v_posterior: object = 0.0


class Model(Schema):
    """The class of a latent diffusion and its settings."""

    base_learning_rate: object = None
    target: Annotated[str, matching_text(r"(.*\.)?LatentDiffusion", "a LatentDiffusion")] = "LatentDiffusion"
    params: Diffusion


class Config(Schema):
    """The file: beside the model, what it was trained on and how."""

    model: Model
    data: object = None
    lightning: object = None
