"""Small features for small grids: a stem for each domain, one three-level trunk with attention that they share."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from midms.core.layers import Residual
from midms.core.limits import channels, channels_of, int_range
from midms.core.precision import rounded
from midms.core.types import Features, cells
from midms.features.common import unit_features


class _Attention(nn.Module):
    """Self-attention over all cells; starts as the identity."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """x + attention(x); channels lie side by side, without which the CPU would fill a matrix of all pairs."""
        qkv = rearrange(
            self.qkv(self.norm(x)), "b (three heads d) h w -> b three heads (h w) d", three=3, heads=self.heads
        )
        out = F.scaled_dot_product_attention(*qkv.contiguous().unbind(1))
        return x + self.out(rearrange(out, "b heads (h w) d -> b (heads d) h w", h=x.shape[-2]))


class Trunk(nn.Module):
    """Down to a quarter of the grid and back, with attention at the two lower levels."""

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        self.down = nn.ModuleList(self._level(width, attend=i > 0) for i, width in enumerate(widths))
        self.up = nn.ModuleList(self._level(width, attend=i > 0) for i, width in enumerate(widths[:-1]))
        steps = list(itertools.pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in steps)
        self.grow = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in steps)

    @staticmethod
    def _level(width: int, attend: bool) -> nn.Sequential:
        return nn.Sequential(Residual(width), *([_Attention(width)] if attend else []), Residual(width))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Any grid; odd sides are grown back to what they were."""
        kept = []
        for level, shrink in zip(self.down, self.shrink, strict=False):
            x = level(x)
            kept.append(x)
            x = shrink(x)
        x = self.down[-1](x)
        for level, grow, skip in zip(reversed(self.up), reversed(self.grow), reversed(kept), strict=True):
            x = level(skip + grow(F.interpolate(x, skip.shape[-2:], mode="nearest")))
        return x


class PyramidFeatures(nn.Module):
    """Features for small grids (16 x 16 to 32 x 32 cells), trained on faces.

    As in MIDMs each domain has an encoder of its own and the layers above are shared; these see the whole picture
    through attention, since a sketch's stroke says what it is only by where it lies among the others.

    To choose for training features of one's own on a CPU, for small grids.

    Args:
        condition_channels: of the condition maps.
        latent_channels: of the autoencoder.
        stride: pixels a latent cell.
        width: of the features.
        widths: of the trunk's three levels.
    """

    def __init__(
        self,
        condition_channels: int = 2,
        latent_channels: int = 8,
        stride: int = 4,
        width: int = 64,
        widths: tuple[int, int, int] = (48, 80, 96),
    ) -> None:
        super().__init__()
        channels(condition_channels=condition_channels, latent_channels=latent_channels, width=width)
        channels_of(3, 8, widths=widths)
        int_range(1, 16, stride=stride)
        self.condition_channels, self.latent_channels, self.stride = condition_channels, latent_channels, stride
        packed = condition_channels * stride * stride
        inputs = {"sketch": packed, "picture": latent_channels + packed, "estimate": latent_channels + packed}
        self.stems = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Conv2d(n + 2, widths[0], 3, padding=1), Residual(widths[0]))
                for name, n in inputs.items()
            }
        )
        self.trunk = Trunk(widths)
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(nn.GroupNorm(8, widths[0]), nn.SiLU(), nn.Conv2d(widths[0], width, 3, padding=1))
                for name in inputs
            }
        )

    def condition(self, condition: Float[Tensor, "b k Y X"]) -> Features:
        """Features of the condition map; re-matching is guided by the map itself, folded to the grid."""
        folded = F.pixel_unshuffle(condition, self.stride)
        return Features(self._features("sketch", folded), folded)

    def exemplar(self, latent: Float[Tensor, "b c H W"], condition: Float[Tensor, "b k Y X"]) -> Features:
        """Features of the exemplar from its latent and its own condition map; the same for re-matching."""
        key = self._features("picture", torch.cat([latent, F.pixel_unshuffle(condition, self.stride)], 1))
        return Features(key, key)

    def rematch_query(self, x0: Float[Tensor, "b c h w"], condition: Features) -> Float[Tensor, "b d h w"]:
        """Features of a predicted x0, given the condition."""
        return self._features("estimate", torch.cat([x0, condition.rematch], 1))

    def _features(self, domain: str, x: Float[Tensor, "b n h w"]) -> Float[Tensor, "b d h w"]:
        h, w = x.shape[-2:]
        place = (cells(h, w, x) + 0.5) / x.new_tensor([w, h]).view(1, 2, 1, 1) * 2 - 1
        seen = rounded(torch.cat([x, place.expand(len(x), -1, -1, -1)], 1), self)
        return unit_features(self.heads[domain](self.trunk(self.stems[domain](seen))).to(x.dtype))
