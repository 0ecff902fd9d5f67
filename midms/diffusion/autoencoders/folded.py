"""Pictures folded to a coarser grid: nothing is lost, nothing is learnt."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.limits import int_range


@dataclass(frozen=True)
class Folded:
    """The pixels of each cell as its channels (space to depth).

    A warp of such latents carries the exemplar's pixels themselves, cell by cell. For pictures of flat colours, of
    which a cell has one; on others its warps are patchy.

    To choose for flat colours, such as line art; nothing has to be trained.

    Attributes:
        stride: pixels a latent cell, 1 to 8.
    """

    stride: int = 4

    def __post_init__(self) -> None:
        int_range(1, 8, stride=self.stride)

    @property
    def channels(self) -> int:
        """Of the latent."""
        return 3 * self.stride * self.stride

    def encode(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b c h w"]:
        """Pictures in [-1, 1], sides divisible by the stride, to latents in [-1, 1]."""
        return F.pixel_unshuffle(image, self.stride)

    def decode(self, latent: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 Y X"]:
        """Latents to pictures, not clipped."""
        return F.pixel_shuffle(latent, self.stride)
