"""The denoiser that sees the noisy latent alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn

from midms.core import limits
from midms.core.hooks import up_block_activations
from midms.core.types import Context, Level
from midms.diffusion.denoisers.prediction import check_prediction, expand_level, x0_from_prediction
from midms.diffusion.denoisers.unet import make_unet, run_unet


class Unconditional(nn.Module):
    """MIDMs' denoiser: sees the noisy latent alone (arXiv:2209.11047, sec. 3.2).

    To choose for the published loop, and with unconditional latent diffusions of CompVis.

    Args:
        channels: of the latent.
        widths: channels of each level.
        attention: whether each level attends.
        layers: residual blocks a level.
        head_dim: width of an attention head.
        norm_groups: groups of the normalisation.
        prediction: what the network was trained to predict, one of `PREDICTIONS`.
        heads: so many heads at every level instead of heads of one width.
        biggan: see `make_unet`.

    Raises:
        ValueError: the prediction is none of these.
    """

    picture_alone = True
    """There is no prompt to attend to."""

    def __init__(
        self,
        channels: int = 8,
        widths: tuple[int, ...] = (64, 96, 128),
        attention: tuple[bool, ...] = (False, True, True),
        layers: int = 1,
        head_dim: int = 32,
        norm_groups: int = 16,
        prediction: str = "eps",
        heads: int | None = None,
        biggan: bool = False,
    ) -> None:
        super().__init__()
        limits.channels(channels=channels)
        self.channels, self.prediction = channels, check_prediction(prediction)
        self.network = make_unet(channels, channels, widths, attention, layers, head_dim, norm_groups, heads, biggan)

    def forward(self, x: Float[Tensor, "b c h w"], level: Level, context: Context) -> Float[Tensor, "b c h w"]:
        """x0 at one level for the whole batch; the context is not looked at."""
        return self.denoise(x, *expand_level(x, level), context)

    def denoise(
        self,
        x: Float[Tensor, "b c h w"],
        timestep: Real[Tensor, " b"],
        alpha: Float[Tensor, "b 1 1 1"],
        sigma: Float[Tensor, "b 1 1 1"],
        context: Context | None,
    ) -> Float[Tensor, "b c h w"]:
        """x0, each sample at a level of its own."""
        return x0_from_prediction(self.prediction, run_unet(self.network, x, timestep), x, alpha, sigma)

    def activations(
        self, x: Float[Tensor, "b c h w"], timestep: float, blocks: Sequence[int], dropped: Sequence[int] = ()
    ) -> list[Float[Tensor, "b _ _ _"]]:
        """What upward blocks give; the pass ends with them.

        Args:
            x: noisy latents.
            timestep: of all.
            blocks: which, 0 is the coarsest.
            dropped: channels that count for nothing; a U-Net has none.

        Raises:
            ValueError: there is no such block, or channels are dropped.
        """
        when = torch.full((len(x),), timestep, device=x.device)
        found = up_block_activations(self.network, lambda: run_unet(self.network, x, when), blocks, dropped)
        return [one.to(x.dtype) for one in found]

    def guided_by(self, guidance: float) -> Unconditional:
        """Itself: there is nothing to guide from."""
        return self

    def picture_tokens(self, latent: tuple[int, int]) -> slice:
        """Which tokens of a self-attention layer are the picture's: all."""
        return slice(None)
