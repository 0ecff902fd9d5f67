"""A small autoencoder for small pictures: most of its work is done at a half of the resolution, or less."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from midms.core import limits
from midms.core.layers import Residual
from midms.core.precision import within


class Patchified(nn.Module):
    """Space-to-depth stem and depth-to-space head around zero-initialised residual blocks.

    At equal time on a CPU it reconstructs 5 to 8 dB better than a `VQModel` shrunk to its size. There is no
    quantiser. Latents are standardised channel by channel with statistics that training leaves in `mean` and `std`.

    To choose for training one of one's own on a CPU.

    Args:
        channels: of the latent.
        stride: pixels a latent cell, 2, 4 or 8.
        widths: channels at the resolution of the patches, of 2 x 2 pixels or, at stride 8, of 4 x 4, and at the
            latent's.

    Raises:
        ValueError: the stride is none of these.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int = 8, stride: int = 4, widths: tuple[int, int] = (64, 96)) -> None:
        super().__init__()
        limits.channels(channels=channels)
        limits.channels_of(2, 8, widths=widths)
        if stride not in (2, 4, 8):
            raise ValueError(f"stride must be 2, 4 or 8, got {stride}")
        self.channels, self.stride = channels, stride
        fine, coarse = widths
        patch = max(2, stride // 2)
        step, packed = stride // patch, 3 * patch * patch
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(patch),
            nn.Conv2d(packed, fine, 3, padding=1),
            Residual(fine),
            nn.Conv2d(fine, coarse, 3, stride=step, padding=1),
            Residual(coarse),
            Residual(coarse),
            nn.SiLU(),
            nn.Conv2d(coarse, channels, 3, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, coarse, 3, padding=1),
            Residual(coarse),
            Residual(coarse),
            Residual(coarse),
            nn.Conv2d(coarse, fine * step * step, 3, padding=1),
            nn.PixelShuffle(step),
            Residual(fine),
            Residual(fine),
            nn.SiLU(),
            nn.Conv2d(fine, packed, 3, padding=1),
            nn.PixelShuffle(patch),
        )
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))

    def standardise(self, mean: Float[Tensor, " c"], std: Float[Tensor, " c"]) -> None:
        """From now on, latents have these statistics taken out: give those of `encode` as it is now."""
        self.mean += mean.view(1, -1, 1, 1) * self.std
        self.std *= std.view(1, -1, 1, 1)

    def encode(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b c h w"]:
        """Pictures in [-1, 1], sides divisible by the stride, to latents of about unit variance."""
        return (within(self.encoder, image) - self.mean.to(image.dtype)) / self.std.to(image.dtype)

    def decode(self, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 Y X"]:
        """Latents to pictures, not clipped."""
        return within(self.decoder, latent * self.std.to(latent.dtype) + self.mean.to(latent.dtype))
