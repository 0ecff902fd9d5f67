"""What frozen extractors share: activations as descriptions of cells, and what `timm` and `vgg` do alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midms.core.normalize import l2_normalize
from midms.core.types import Features


def stack_activations(maps: Sequence[Tensor], grid: tuple[int, int]) -> Float[Tensor, "b d h w"]:
    """Activations [b c h w] of several depths side by side on one grid, as unit vectors.

    Each is taken less its mean over the picture and of unit length, so that a cell is described by what sets it apart.
    """
    return unit_features(torch.cat([resized(unit_features(x - x.mean((-2, -1), keepdim=True)), grid) for x in maps], 1))


def unit_features(x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
    """Length one in every cell, or zero; cells that are not finite stay as they are, for the loop to refuse."""
    return torch.where(x.isfinite().all(1, keepdim=True), l2_normalize(x), x)


def resized(x: Float[Tensor, "b c y x"], size: tuple[int, int]) -> Float[Tensor, "b c y2 x2"]:
    """On another grid, bilinearly."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


class MapFeatures(nn.Module):
    """A frozen network of condition maps alone; the network itself is a subclass's.

    Both pictures are seen through the same eyes, each by its own condition map. Latents are not looked at, and a
    predicted x0 adds nothing to what the condition says: re-matching repeats the first match.

    Attributes:
        stride: pixels a latent cell.
    """

    stride: int

    def _features(self, condition: Float[Tensor, "b k Y X"], grid: tuple[int, int]) -> Float[Tensor, "b d h w"]:
        """Unit vectors of what the network makes of a condition map, on a grid (height, width) of cells."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Any:
        """Stays in evaluation mode: it is frozen."""
        return super().train(False)

    def condition(self, condition: Float[Tensor, "b k Y X"]) -> Features:
        """Features of the condition map, for the first match and, unchanged, for re-matching."""
        features = self._features(condition, (condition.shape[-2] // self.stride, condition.shape[-1] // self.stride))
        return Features(features, features)

    def exemplar(self, latent: Float[Tensor, "b c H W"], condition: Float[Tensor, "b k Y X"]) -> Features:
        """Features of the exemplar's condition map; the latent says on which grid."""
        features = self._features(condition, (latent.shape[-2], latent.shape[-1]))
        return Features(features, features)

    def rematch_query(self, x0: Float[Tensor, "b c h w"], condition: Features) -> Float[Tensor, "b d h w"]:
        """The condition's features, whatever x0 is."""
        return condition.rematch
