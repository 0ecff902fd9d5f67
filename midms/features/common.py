"""What frozen extractors share: condition maps as pictures, and activations as descriptions of cells."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.normalize import l2_normalize


def rendered(condition: Float[Tensor, "b k Y X"], channels: int = 3) -> Float[Tensor, "b c Y X"]:
    """So many channels of a condition map; where it has fewer, they repeat."""
    return condition[:, torch.arange(channels, device=condition.device) % condition.shape[1]]


def stack_activations(maps: Sequence[Tensor], grid: tuple[int, int]) -> Float[Tensor, "b d h w"]:
    """Activations [b c h w] of several depths side by side on one grid, as unit vectors.

    Each is taken less its mean over the picture and of unit length, so that a cell is described by what sets it apart.
    """
    return l2_normalize(torch.cat([resized(l2_normalize(x - x.mean((-2, -1), keepdim=True)), grid) for x in maps], 1))


def resized(x: Float[Tensor, "b c y x"], size: tuple[int, int]) -> Float[Tensor, "b c y2 x2"]:
    """On another grid, bilinearly."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
