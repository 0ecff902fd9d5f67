"""The U-Net of Stable Diffusion 1 and 2 and of SDXL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn

from midms.core import limits
from midms.core.hooks import up_block_activations
from midms.core.precision import rounded
from midms.core.types import Context, Level
from midms.diffusion.denoisers.prediction import check_prediction
from midms.diffusion.denoisers.pretrained import network_of
from midms.diffusion.denoisers.prompts import (
    PICTURE_SIZES,
    PromptEmbeds,
    Prompts,
    check_guidance,
    guided_x0,
    with_guidance,
)
from midms.diffusion.lean import load_network

UNet2DConditionModel = load_network("diffusers.models.unets.unet_2d_condition", "UNet2DConditionModel")


class UNetCondition(nn.Module):
    """diffusers' `UNet2DConditionModel`: Stable Diffusion 1 and 2, and SDXL.

    Rombach et al. 2022 (arXiv:2112.10752) and Podell et al. 2023 (arXiv:2307.01952). The warp is not looked at: it
    enters by way of x0.

    To choose with weights of Stable Diffusion 1 or 2, or SDXL.

    Args:
        config: the network's settings, by the names of its class; those of its size have to be among them.
        prediction: what it was trained to predict, one of `PREDICTIONS`.
        guidance: of classifier-free guidance; 1 for none.
        tokens: of a prompt.
        stride: pixels a latent cell; SDXL takes sizes in pixels.

    Raises:
        ValueError: the prediction is none of these, or the network wants what nobody here knows.
    """

    picture_alone = True
    """Self-attention is to the picture; the prompt has layers of its own."""

    def __init__(
        self,
        config: Mapping[str, Any],
        prediction: str = "eps",
        guidance: float = 7.5,
        tokens: int = 77,
        stride: int = 8,
    ) -> None:
        super().__init__()
        limits.int_range(1, limits.STRIDE, stride=stride)
        check_guidance(guidance=guidance)
        self.network = network_of(UNet2DConditionModel, config, ("block_out_channels", "layers_per_block"))
        said = self.network.config
        pooled = 0
        if said["addition_embed_type"] == "text_time":
            pooled = said["projection_class_embeddings_input_dim"] - PICTURE_SIZES * said["addition_time_embed_dim"]
        if said["addition_embed_type"] not in (None, "text_time") or pooled < 0:
            raise ValueError(f"addition_embed_type is {said['addition_embed_type']!r}, supported: 'text_time'")
        self.channels, self.stride = int(said["in_channels"]), stride
        self.prediction, self.guidance = check_prediction(prediction), guidance
        self.prompts = Prompts(tokens, int(said["cross_attention_dim"]), pooled)

    def forward(self, x: Float[Tensor, "b c h w"], level: Level, context: Context) -> Float[Tensor, "b c h w"]:
        """x0 at one level for the whole batch; the context is not looked at."""
        return guided_x0(self._predict, x, level, self.prompts, self.prediction, self.guidance)

    def activations(
        self, x: Float[Tensor, "b c h w"], timestep: float, blocks: Sequence[int], dropped: Sequence[int] = ()
    ) -> list[Float[Tensor, "b _ _ _"]]:
        """What upward blocks give, under the positive prompt; the pass ends with them.

        Args:
            x: noisy latents.
            timestep: of all.
            blocks: which, 0 is the coarsest.
            dropped: channels that count for nothing, see `Flux.activations`; a U-Net has none.

        Raises:
            ValueError: there is no such block, or channels are dropped.
        """
        when = torch.full((len(x),), timestep, device=x.device)
        found = up_block_activations(
            self.network, lambda: self._predict(x, when, self.prompts.positive(len(x))), blocks, dropped
        )
        return [one.to(x.dtype) for one in found]

    def guided_by(self, guidance: float) -> UNetCondition:
        """The same network with another guidance."""
        return with_guidance(self, guidance)

    def picture_tokens(self, latent: tuple[int, int]) -> slice:
        """Which tokens of a self-attention layer are the picture's: all."""
        return slice(None)

    def _predict(
        self, x: Float[Tensor, "b c h w"], timestep: Real[Tensor, " b"], embeds: PromptEmbeds
    ) -> Float[Tensor, "b c h w"]:
        more: dict[str, Any] = {}
        if embeds.pooled is not None:
            height, width = (side * self.stride for side in x.shape[-2:])
            sizes = x.new_tensor([height, width, 0, 0, height, width]).expand(len(x), PICTURE_SIZES)
            more = {"added_cond_kwargs": {"text_embeds": rounded(embeds.pooled, self.network), "time_ids": sizes}}
        tokens = rounded(embeds.tokens, self.network)
        return self.network(rounded(x, self.network), timestep, tokens, **more).sample.to(x.dtype)
