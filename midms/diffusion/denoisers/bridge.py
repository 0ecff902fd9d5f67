"""The denoiser that starts from the warp."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Real
from torch import Tensor, nn

from midms.core import limits
from midms.core.types import Context, Level
from midms.diffusion.denoisers.prediction import expand_level
from midms.diffusion.denoisers.unet import make_unet, run_unet


class Bridge(nn.Module):
    """A denoiser that starts from the warp: x0 = warp + network(x, warp, condition, confidence).

    Where the warp is right there is nothing left to predict; where it is not, the condition says what is
    missing. Trained on noised mixtures of truth and warp.

    To choose for training a small model of one's own: it needs few levels, and mends the warp.

    Args:
        channels: of the latent.
        condition_channels: of the condition map.
        stride: pixels a latent cell; the condition is folded to the grid with it.
        widths: channels of each level.
        attention: whether each level attends.
        layers: residual blocks a level.
        head_dim: width of an attention head.
        norm_groups: groups of the normalisation.
        min_confidence: the least mean confidence in a warp that it was trained with, in [0, 1]; it gets no less.
    """

    def __init__(
        self,
        channels: int = 8,
        condition_channels: int = 2,
        stride: int = 4,
        widths: tuple[int, ...] = (64, 96, 128),
        attention: tuple[bool, ...] = (False, True, True),
        layers: int = 1,
        head_dim: int = 32,
        norm_groups: int = 16,
        min_confidence: float = 0.0,
    ) -> None:
        super().__init__()
        limits.channels(channels=channels, condition_channels=condition_channels)
        limits.int_range(1, 16, stride=stride)
        limits.number(0, 1, min_confidence=min_confidence)
        self.channels, self.condition_channels, self.stride = channels, condition_channels, stride
        self.min_confidence = min_confidence
        inputs = 2 * channels + condition_channels * stride * stride + 1
        self.network = make_unet(inputs, channels, widths, attention, layers, head_dim, norm_groups)
        nn.init.zeros_(self.network.conv_out.weight)
        nn.init.zeros_(self.network.conv_out.bias)

    def forward(self, x: Float[Tensor, "b c h w"], level: Level, context: Context) -> Float[Tensor, "b c h w"]:
        """x0 at one level for the whole batch."""
        return self.denoise(x, *expand_level(x, level), context)

    def denoise(
        self,
        x: Float[Tensor, "b c h w"],
        timestep: Real[Tensor, " b"],
        alpha: Float[Tensor, "b 1 1 1"],
        sigma: Float[Tensor, "b 1 1 1"],
        context: Context,
    ) -> Float[Tensor, "b c h w"]:
        """x0, each sample at a level of its own."""
        folded = F.pixel_unshuffle(context.condition, self.stride)
        seen = torch.cat([x, context.warp, folded, context.confidence.expand(len(x), 1, *x.shape[-2:])], 1)
        return context.warp + run_unet(self.network, seen, timestep)
