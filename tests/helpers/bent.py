"""A picture's features, and the same bent, with the known flow between them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from midms.core.flow import sample
from midms.core.types import cells


def scene(seed: int, size: int, noise: float = 0.1) -> tuple[Tensor, Tensor, Tensor]:
    """Smooth features, the same bent and jittered, and where each cell of the first went: [1 2 h w] in cells."""
    generator = torch.Generator().manual_seed(seed)
    picture = F.interpolate(torch.randn(1, 32, size // 4, size // 4, generator=generator), (size, size), mode="bicubic")
    bend = F.interpolate(torch.randn(1, 2, 3, 3, generator=generator), (size, size), mode="bicubic", align_corners=True)
    place = (cells(size, size, picture) + size / 12 * bend).clamp(0, size - 1)
    query = sample(picture, place)
    return query + noise * torch.randn(query.shape, generator=generator), picture, place
