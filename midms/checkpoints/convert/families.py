"""Text-to-image models in folders of diffusers: Stable Diffusion 1 and 2, SDXL, Stable Diffusion 3, FLUX.1."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from torch import Tensor

from midms.checkpoints.convert.settings import Channels, Scale, settled
from midms.checkpoints.convert.text_encoders import T5_TOKENS, TextEncoders, embedded, encoder_folders
from midms.compose.spec import Spec
from midms.core.errors import IdlePrompt
from midms.core.schema import BRIEF, Schema, checked
from midms.core.signatures import mistyped, parameters
from midms.core.tensors import CheckpointError
from midms.core.types import Prompt
from midms.diffusion.denoisers.prompts import PICTURE_SIZES
from midms.diffusion.denoisers.transformer import PATCH
from midms.diffusion.lean import load_network
from midms.diffusion.levels import FLOW

_SIDE = 128
"""Cells of the latent along a side, where a network does not say for how many it was trained."""
PROMPTS = "prompts."
"""What the names of a denoiser's embedded prompts begin with."""


class _UNetCondition(Schema):
    """What must be so of a U-Net's settings; the others are its own."""

    in_channels: Channels
    out_channels: Channels
    cross_attention_dim: Channels
    addition_embed_type: Literal["text_time"] | None
    addition_time_embed_dim: Channels | None
    projection_class_embeddings_input_dim: Channels | None

    @model_validator(mode="after")
    def _sized(self) -> _UNetCondition:
        if self.out_channels != self.in_channels:
            raise ValueError(f"out_channels is {self.out_channels}, expected those of in_channels, {self.in_channels}")
        if self.addition_embed_type is None:
            return self
        sizes = PICTURE_SIZES * (self.addition_time_embed_dim or 0)
        if not sizes or (self.projection_class_embeddings_input_dim or 0) <= sizes:
            raise ValueError(
                f"projection_class_embeddings_input_dim is {self.projection_class_embeddings_input_dim}, expected more"
                f" than those of the {PICTURE_SIZES} sizes of a picture, {sizes}"
            )
        return self


class _SD3(Schema):
    """What must be so of the settings of Stable Diffusion 3's transformer."""

    in_channels: Channels
    out_channels: Channels | None
    patch_size: Literal[2]
    joint_attention_dim: Channels
    pooled_projection_dim: Channels


class _Flux(Schema):
    """What must be so of the settings of FLUX.1's transformer."""

    in_channels: Channels
    out_channels: Channels | None
    patch_size: Literal[1]
    joint_attention_dim: Channels
    pooled_projection_dim: Channels
    guidance_embeds: bool


@dataclass(frozen=True)
class Family:
    """Models that one class of diffusers' networks is for.

    Attributes:
        name: of the denoiser.
        module: of diffusers, that the class is in.
        model: what is asked of its settings.
        unasked: settings that must be as usual, for they want what nobody here knows.
    """

    name: str
    module: str
    model: type[Any]
    unasked: tuple[str, ...] = ()


_MORE_INPUTS = (
    *("class_embed_type", "num_class_embeds", "class_embeddings_concat", "encoder_hid_dim", "encoder_hid_dim_type"),
    *("time_cond_proj_dim", "attention_type", "time_embedding_type", "num_attention_heads"),
)
TEXT_TO_IMAGE = {
    "UNet2DConditionModel": Family(
        "unet-condition", "diffusers.models.unets.unet_2d_condition", _UNetCondition, _MORE_INPUTS
    ),
    "SD3Transformer2DModel": Family("sd3", "diffusers.models.transformers.transformer_sd3", _SD3),
    "FluxTransformer2DModel": Family("flux", "diffusers.models.transformers.transformer_flux", _Flux),
}
"""By the classes that configurations name."""


def denoiser_of(
    encoders: TextEncoders,
    kind: str,
    content: Mapping[str, Any],
    where: str,
    prediction: str,
    stride: int,
    prompt: Prompt,
) -> Spec:
    """The denoiser of a pipeline.

    Args:
        encoders: of the pipeline.
        kind: of network, one of `TEXT_TO_IMAGE`.
        content: the network's settings.
        where: what errors call them.
        prediction: what it was trained to predict.
        stride: of the autoencoder.
        prompt: its guidance, if that is given.

    Raises:
        CheckpointError: a setting is unknown, or wants what cannot be given; or text encoders are missing.
        IdlePrompt: the prompt changes nothing.
    """
    family, network = TEXT_TO_IMAGE[kind], load_network(TEXT_TO_IMAGE[kind].module, kind)
    usual = inspect.signature(network).parameters
    said = settled(family.model, content, network, [name for name in usual if name not in family.unasked], where)
    own = {name: _tuples(value) for name, value in content.items() if not name.startswith("_")}
    if wrong := mistyped(parameters(network), {name: value for name, value in own.items() if value is not None}):
        raise CheckpointError(f"{where}: {'; '.join(wrong)}")
    arguments: dict[str, Any] = {"config": own, "stride": stride}
    second = getattr(said, "addition_embed_type", None) is not None
    third = ["text_encoder_3"] if encoders.has("text_encoder_3") else []  # may be left out, with its tokenizer
    encoders.check([*encoder_folders(family.name, second), *third])
    arguments["tokens"] = T5_TOKENS.get(family.name, 0) + (0 if family.name == "flux" else encoders.clip_tokens())
    usually = {"unet-condition": 5.0 if second else 7.5, "sd3": 7.0, "flux": 1.0}[family.name]
    distilled = family.name == "flux" and said.guidance_embeds
    arguments["guidance"] = usually if prompt.guidance is None or distilled else float(prompt.guidance)
    if distilled:
        arguments["distilled_guidance"] = 3.5 if prompt.guidance is None else float(prompt.guidance)
    if prompt.negative and arguments["guidance"] == 1:
        why = (
            "was distilled to do without one"
            if distilled
            else "is guided by 1 and sees the prompt alone; expected a guidance above 1"
        )
        raise IdlePrompt(f"negative_prompt: changes nothing of {encoders.where}, which {why}")
    if family.name == "unet-condition":
        arguments["prediction"] = prediction
    return Spec(family.name, **arguments)


def prompts_of(encoders: TextEncoders, spec: Spec, prompt: Prompt) -> dict[str, Tensor]:
    """The prompts of a denoiser that `denoiser_of` gave, embedded: the negative one, then the positive one.

    Where the pipeline says that an empty negative prompt is one of zeros, as SDXL's does, it is.

    Raises:
        CheckpointError: text encoders cannot be read.
    """
    config = spec.arguments["config"]
    second = config.get("addition_embed_type") is not None
    width = config.get("cross_attention_dim") or config.get("joint_attention_dim") or 0
    found = embedded(encoders, spec.name, second, (prompt.negative, prompt.text), width)
    if second and not prompt.negative and encoders.empty_is_zero:
        for value in found.values():
            value[0] = 0
    return {PROMPTS + name: value for name, value in found.items()}


_MOST_LOG_SHIFT = 10
"""Logarithm of the largest shift; that of FLUX.1 is 1.15."""
_LogShift = Annotated[float, Field(ge=-_MOST_LOG_SHIFT, le=_MOST_LOG_SHIFT)]
_Tokens = Annotated[int, Field(ge=1, le=2**20)]


class _Flow(Schema):
    """What is used of the settings of a scheduler of rectified flows."""

    num_train_timesteps: Literal[1000]
    shift: Scale
    use_dynamic_shifting: bool
    base_shift: _LogShift | None
    max_shift: _LogShift | None
    base_image_seq_len: _Tokens
    max_image_seq_len: _Tokens
    time_shift_type: Literal["exponential"]

    def shift_at(self, tokens: int) -> float:
        """The shift for pictures of so many tokens: its logarithm rises in a line."""
        if not self.use_dynamic_shifting:
            return self.shift
        low, high = self.base_shift or 0.0, self.max_shift or 0.0
        if self.base_image_seq_len >= self.max_image_seq_len:
            raise ValueError(
                f"max_image_seq_len is {self.max_image_seq_len}, expected more than base_image_seq_len,"
                f" {self.base_image_seq_len}"
            )
        share = (tokens - self.base_image_seq_len) / (self.max_image_seq_len - self.base_image_seq_len)
        if abs(found := low + (high - low) * share) > _MOST_LOG_SHIFT:
            raise ValueError(f"the shift at {tokens:,} tokens is exp({found:.3g}), expected {_MOST_LOG_SHIFT} at most")
        return math.exp(found)


class _Side(Schema, extra="ignore"):
    """What is used of a network's settings to find the shift."""

    sample_size: Channels | None = None


FLOW_SCHEDULER = "FlowMatchEulerDiscreteScheduler"


def flow_of(scheduler: Mapping[str, Any], where: str, network: Mapping[str, Any], network_where: str) -> str:
    """The schedule "flow:SHIFT" of a scheduler of rectified flows.

    Where the shift depends on how large pictures are, it is that of the size that the network was trained for.

    Args:
        scheduler: its settings.
        where: what errors call them.
        network: settings of the network.
        network_where: what errors call these.

    Raises:
        CheckpointError: it is of another kind, or a setting is not as usual.
    """
    if scheduler.get("_class_name") != FLOW_SCHEDULER:
        raise CheckpointError(
            f"{where}: is for {BRIEF.repr(scheduler.get('_class_name'))}, supported: {FLOW_SCHEDULER}"
        )
    kind = load_network("diffusers.schedulers.scheduling_flow_match_euler_discrete", FLOW_SCHEDULER)
    said = settled(_Flow, scheduler, kind, (), where)
    side = checked(_Side, network, network_where, CheckpointError).sample_size or _SIDE
    try:
        return f"{FLOW}{said.shift_at((side // PATCH) ** 2)!r}"
    except ValueError as error:
        raise CheckpointError(f"{where}: {error}") from None


def _tuples(value: Any) -> Any:
    """Lists of JSON as a recipe has them."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
