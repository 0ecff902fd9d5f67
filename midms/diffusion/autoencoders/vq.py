"""The vector-quantised autoencoder of latent diffusion."""

from __future__ import annotations

from jaxtyping import Float
from torch import nn
from torch.func import functional_call

from midms.core import limits
from midms.core.precision import precise, rounded
from midms.core.torch_defaults import defaults
from midms.diffusion.lean import load_network

VQModel = load_network("diffusers.models.autoencoders.vq_model", "VQModel")


class VQ(nn.Module):
    """diffusers' `VQModel`, by default the VQ-f4 of latent diffusion (Rombach et al. 2022, arXiv:2112.10752).

    The diffusion lives before the quantiser: `encode` gives what has not been quantised yet, `decode` quantises. No
    scaling factor applies, whatever diffusers' default says: these models were trained with 1.

    To choose with weights of the released faces, or of latent diffusion's VQ models.

    Args:
        channels: of the latent.
        widths: channels at each resolution, from the picture's to the latent's; each step halves it.
        layers: residual blocks a resolution, one more in the decoder.
        codes: size of the codebook.
        norm_groups: groups of the normalisation.

    Raises:
        ValueError: a width cannot be divided into groups.
    """

    def __init__(
        self,
        channels: int = 3,
        widths: tuple[int, ...] = (128, 256, 512),
        layers: int = 2,
        codes: int = 8192,
        norm_groups: int = 32,
    ) -> None:
        super().__init__()
        limits.channels(channels=channels, norm_groups=norm_groups)
        limits.channels_of(None, widths=widths)
        limits.int_range(1, 16, layers=layers)
        limits.int_range(1, 2**20, codes=codes)
        if any(width % norm_groups for width in widths):
            raise ValueError(f"widths must be multiples of norm_groups={norm_groups}, got {widths}")
        self.channels, self.stride = channels, 2 ** (len(widths) - 1)
        self.network = VQModel(
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
            block_out_channels=widths,
            layers_per_block=layers,
            latent_channels=channels,
            vq_embed_dim=channels,
            num_vq_embeddings=codes,
            norm_num_groups=norm_groups,
            scaling_factor=1.0,
        )

    def encode(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b c h w"]:
        """Pictures in [-1, 1], sides divisible by the stride, to latents that are not quantised."""
        return self.network.encode(rounded(image, self.network)).latents.to(image.dtype)

    def decode(self, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 Y X"]:
        """Each cell's nearest code, to pictures, not clipped; the gradient passes the quantiser unchanged.

        Distances to codes are never in half precision, which would take their neighbours.
        """
        seen, quantiser = precise(latent), self.network.quantize
        codebook = {"embedding.weight": quantiser.embedding.weight.to(seen.dtype)}
        with defaults():
            codes, *_ = functional_call(quantiser, codebook, seen)
        return self.network.decode(rounded(codes, self.network), force_not_quantize=True).sample.to(latent.dtype)
