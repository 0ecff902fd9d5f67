"""The transformer of Stable Diffusion 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn

from midms.core import limits
from midms.core.hooks import chosen_blocks
from midms.core.precision import rounded
from midms.core.types import Context, Level
from midms.diffusion.denoisers.pretrained import TRANSFORMER_SIZES, network_of
from midms.diffusion.denoisers.prompts import PromptEmbeds, Prompts, check_guidance, guided_x0, with_guidance
from midms.diffusion.denoisers.transformer import PATCH, even, modulated_maps, tokens_of
from midms.diffusion.lean import load_network

SD3Transformer2DModel = load_network("diffusers.models.transformers.transformer_sd3", "SD3Transformer2DModel")


class SD3(nn.Module):
    """diffusers' `SD3Transformer2DModel`: Stable Diffusion 3 and 3.5 (Esser et al. 2024, arXiv:2403.03206).

    A rectified flow: it predicts the velocity eps - x0, and wants levels with the schedule "flow:SHIFT". The warp is
    not looked at: it enters by way of x0. Grids are continued to even sides.

    To choose with weights of Stable Diffusion 3 or 3.5.

    Args:
        config: the network's settings, by the names of its class; those of its size have to be among them.
        guidance: of classifier-free guidance; 1 for none.
        tokens: of a prompt, those of CLIP and those of T5.
        stride: pixels a latent cell.

    Raises:
        ValueError: the network takes other patches than of 2 by 2 cells.
    """

    prediction = "flow"
    picture_alone = False
    """Attention is to picture and prompt at once."""

    def __init__(
        self, config: Mapping[str, Any], guidance: float = 7.0, tokens: int = 77 + 256, stride: int = 8
    ) -> None:
        super().__init__()
        limits.int_range(1, limits.STRIDE, stride=stride)
        check_guidance(guidance=guidance)
        self.network = network_of(SD3Transformer2DModel, config, TRANSFORMER_SIZES)
        said = self.network.config
        if said["patch_size"] != PATCH:
            raise ValueError(f"patch_size is {said['patch_size']}, supported: {PATCH}")
        self.channels, self.stride, self.guidance = int(said["in_channels"]), stride, guidance
        self.prompts = Prompts(tokens, int(said["joint_attention_dim"]), int(said["pooled_projection_dim"]))

    def forward(self, x: Float[Tensor, "b c h w"], level: Level, context: Context) -> Float[Tensor, "b c h w"]:
        """x0 at one level for the whole batch; the context is not looked at."""
        return guided_x0(self._predict, x, level, self.prompts, self.prediction, self.guidance)

    def activations(
        self, x: Float[Tensor, "b c h w"], timestep: float, blocks: Sequence[int], dropped: Sequence[int] = ()
    ) -> list[Float[Tensor, "b _ _ _"]]:
        """What blocks begin with, scaled and shifted by the timestep, under the positive prompt; the pass ends there.

        Args:
            x: noisy latents.
            timestep: of all.
            blocks: which, from 0.
            dropped: channels that count for nothing, see `Flux.activations`.

        Raises:
            ValueError: there is no such block, or no such channel.
        """
        norms: list[Any] = [block.norm1 for block in chosen_blocks(self.network.transformer_blocks, blocks)]
        when = torch.full((len(x),), timestep, device=x.device)
        return modulated_maps(norms, lambda: self._predict(x, when, self.prompts.positive(len(x))), x, dropped)

    def guided_by(self, guidance: float) -> SD3:
        """The same network with another guidance."""
        return with_guidance(self, guidance)

    def picture_tokens(self, latent: tuple[int, int]) -> slice:
        """Which tokens of an attention layer are the picture's: the first, those of the prompt follow."""
        return slice(0, tokens_of(latent))

    def _predict(
        self, x: Float[Tensor, "b c h w"], timestep: Real[Tensor, " b"], embeds: PromptEmbeds
    ) -> Float[Tensor, "b c h w"]:
        assert embeds.pooled is not None
        tokens, pooled = (rounded(one, self.network) for one in (embeds.tokens, embeds.pooled))
        output = self.network(rounded(even(x), self.network), tokens, pooled, timestep).sample
        return output[..., : x.shape[-2], : x.shape[-1]].to(x.dtype)
