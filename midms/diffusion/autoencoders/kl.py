"""The autoencoder of latent diffusion whose latents are kept near a Gaussian."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from midms.core import limits
from midms.core.precision import rounded
from midms.core.types import NoiseFn
from midms.diffusion.lean import load_network

AutoencoderKL = load_network("diffusers.models.autoencoders.autoencoder_kl", "AutoencoderKL")

_TILE = 512
"""Pixels of a tile's side; diffusers would take those of the configuration, which are few in a network made here."""


class KL(nn.Module):
    """diffusers' `AutoencoderKL`, by default the KL-f8 of latent diffusion (Rombach et al. 2022, arXiv:2112.10752).

    `encode` gives the mean of the posterior and draws nothing; its deviation is small by training. `sample` draws, for
    training alone.

    To choose with weights of Stable Diffusion, or of the released church model.

    Args:
        channels: of the latent.
        widths: channels at each resolution, from the picture's to the latent's; each step halves it.
        layers: residual blocks a resolution, one more in the decoder.
        norm_groups: groups of the normalisation.
        scale: what latents are multiplied by for the diffusion: the `scale_factor` that its network was trained with.
        shift: what is taken from them before that; Stable Diffusion 3 and FLUX.1 have such.
        quant_conv: whether a convolution of one cell follows the encoder, and one precedes the decoder.

    Raises:
        ValueError: a width cannot be divided into groups, or the scale is not positive.
    """

    def __init__(
        self,
        channels: int = 4,
        widths: tuple[int, ...] = (128, 256, 512, 512),
        layers: int = 2,
        norm_groups: int = 32,
        scale: float = 1.0,
        shift: float = 0.0,
        quant_conv: bool = True,
    ) -> None:
        super().__init__()
        limits.channels(channels=channels, norm_groups=norm_groups)
        limits.channels_of(None, widths=widths)
        limits.int_range(1, 16, layers=layers)
        if any(width % norm_groups for width in widths):
            raise ValueError(f"widths must be multiples of norm_groups={norm_groups}, got {widths}")
        limits.number(0, limits.LARGE, above=True, scale=scale)
        limits.number(-limits.LARGE, limits.LARGE, shift=shift)
        self.channels, self.stride = channels, 2 ** (len(widths) - 1)
        self.scale, self.shift = scale, shift
        self.network = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
            block_out_channels=widths,
            layers_per_block=layers,
            latent_channels=channels,
            norm_num_groups=norm_groups,
            use_quant_conv=quant_conv,
            use_post_quant_conv=quant_conv,
        )

    def tile(self) -> None:
        """From now on pictures above 512 pixels are encoded and decoded in tiles that overlap (diffusers' switch)."""
        self.network.enable_tiling()
        self.network.tile_sample_min_size, self.network.tile_latent_min_size = _TILE, _TILE // self.stride

    def encode(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b c h w"]:
        """Pictures in [-1, 1], sides divisible by the stride, to scaled latents."""
        mean = self.network.encode(rounded(image, self.network)).latent_dist.mode().to(image.dtype)
        return self.scale * (mean - self.shift)

    def sample(self, image: Float[Tensor, "b 3 Y X"], draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """A draw of the posterior in the place of its mean."""
        posterior = self.network.encode(rounded(image, self.network)).latent_dist
        mean, deviation = posterior.mean.to(image.dtype), posterior.std.to(image.dtype)
        return self.scale * (mean - self.shift + deviation * draw(tuple(mean.shape)))

    def decode(self, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 Y X"]:
        """Scaled latents to pictures, not clipped."""
        return self.network.decode(rounded(latent / self.scale + self.shift, self.network)).sample.to(latent.dtype)
