"""The transformer of FLUX.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Real
from torch import Tensor, nn

from midms.core import limits
from midms.core.hooks import chosen_blocks
from midms.core.precision import rounded
from midms.core.types import Context, Level
from midms.diffusion.denoisers.pretrained import TRANSFORMER_SIZES, network_of
from midms.diffusion.denoisers.prompts import PromptEmbeds, Prompts, check_guidance, guided_x0, with_guidance
from midms.diffusion.denoisers.transformer import PATCH, even, modulated_maps, token_map, tokens_of
from midms.diffusion.lean import load_network
from midms.diffusion.levels import TIMESTEPS

FluxTransformer2DModel = load_network("diffusers.models.transformers.transformer_flux", "FluxTransformer2DModel")


class Flux(nn.Module):
    """diffusers' `FluxTransformer2DModel`: FLUX.1 dev and schnell (github.com/black-forest-labs/flux).

    A rectified flow: it predicts the velocity eps - x0, and wants levels with the schedule "flow:SHIFT". The warp is
    not looked at: it enters by way of x0. Grids are continued to even sides.

    To choose with weights of FLUX.1.

    Args:
        config: the network's settings, by the names of its class; those of its size have to be among them.
        guidance: of classifier-free guidance; 1 for none, which takes half the time. FLUX.1 is not made for it.
        distilled_guidance: which a network that was distilled from a guided one, such as FLUX.1 dev, imitates.
        tokens: of a prompt.
        stride: pixels a latent cell.

    Raises:
        ValueError: the network does not give what it takes.
    """

    prediction = "flow"
    picture_alone = False
    """Attention is to picture and prompt at once."""

    def __init__(
        self,
        config: Mapping[str, Any],
        guidance: float = 1.0,
        distilled_guidance: float = 3.5,
        tokens: int = 512,
        stride: int = 8,
    ) -> None:
        super().__init__()
        limits.int_range(1, limits.STRIDE, stride=stride)
        check_guidance(guidance=guidance, distilled_guidance=distilled_guidance)
        self.network = network_of(FluxTransformer2DModel, config, (*TRANSFORMER_SIZES, "num_single_layers"))
        said = self.network.config
        inputs, outputs = int(said["in_channels"]), self.network.out_channels
        if inputs % PATCH**2 or outputs != inputs:
            raise ValueError(f"in_channels and out_channels are {inputs} and {outputs}, expected the same, in fours")
        self.channels, self.stride = inputs // PATCH**2, stride
        self.guidance, self.distilled_guidance = guidance, distilled_guidance
        self.prompts = Prompts(tokens, int(said["joint_attention_dim"]), int(said["pooled_projection_dim"]))

    def forward(self, x: Float[Tensor, "b c h w"], level: Level, context: Context) -> Float[Tensor, "b c h w"]:
        """x0 at one level for the whole batch; the context is not looked at."""
        return guided_x0(self._predict, x, level, self.prompts, self.prediction, self.guidance)

    def activations(
        self, x: Float[Tensor, "b c h w"], timestep: float, blocks: Sequence[int], dropped: Sequence[int] = ()
    ) -> list[Float[Tensor, "b _ _ _"]]:
        """What blocks begin with, scaled and shifted by the timestep (DiTF, arXiv:2505.18584).

        Under the positive prompt; the pass ends there.

        Args:
            x: noisy latents.
            timestep: of all.
            blocks: which, from 0: those of two streams, then those of one, which go on from 19 in FLUX.1.
            dropped: channels that are 0 before they are normalised; 154 and 1446 of FLUX.1 drown all others.

        Raises:
            ValueError: there is no such block, or no such channel.
        """
        double, single = self.network.transformer_blocks, self.network.single_transformer_blocks
        found: list[Any] = chosen_blocks([*double, *single], blocks)
        norms = [
            block.norm if number >= len(double) else block.norm1 for block, number in zip(found, blocks, strict=True)
        ]
        when = torch.full((len(x),), timestep, device=x.device)
        return modulated_maps(norms, lambda: self._predict(x, when, self.prompts.positive(len(x))), x, dropped)

    def guided_by(self, guidance: float) -> Flux:
        """The same network with another guidance."""
        return with_guidance(self, guidance)

    def picture_tokens(self, latent: tuple[int, int]) -> slice:
        """Which tokens of an attention layer are the picture's: the last, after those of the prompt."""
        return slice(-tokens_of(latent), None)

    def _predict(
        self, x: Float[Tensor, "b c h w"], timestep: Real[Tensor, " b"], embeds: PromptEmbeds
    ) -> Float[Tensor, "b c h w"]:
        assert embeds.pooled is not None
        seen = F.pixel_unshuffle(rounded(even(x), self.network), PATCH)
        h, w = seen.shape[-2:]
        tokens, pooled = (rounded(one, self.network) for one in (embeds.tokens, embeds.pooled))
        down, right = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        places = torch.stack([torch.zeros_like(down), down, right], -1).flatten(0, 1).to(seen)
        distilled = seen.new_full((len(x),), self.distilled_guidance, dtype=torch.float32)
        output = self.network(
            hidden_states=rearrange(seen, "b c h w -> b (h w) c"),
            encoder_hidden_states=tokens,
            pooled_projections=pooled,
            timestep=timestep / TIMESTEPS,
            img_ids=places,
            txt_ids=places.new_zeros(tokens.shape[1], 3),
            guidance=distilled if self.network.config["guidance_embeds"] else None,
        ).sample
        velocity = F.pixel_shuffle(token_map(output, h, w), PATCH)
        return velocity[..., : x.shape[-2], : x.shape[-1]].to(x.dtype)
