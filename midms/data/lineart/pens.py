"""The same drawing by another pen, on other paper."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_WIDEST = 0.01
"""How much a stroke gains or loses of its width, at most, in widths of the picture."""
_GAPS, _GAP_CELLS = 0.04, 48
"""Share of the picture in which strokes are left out, at most, and how many such places a side has."""
_GRAIN, _GRAIN_CELLS = 0.5, (64, 160)
"""How much of its ink a rough stroke loses, at most, and how many grains a side has."""
_SHADE, _SHADE_CELLS = 0.15, 4
"""How dark uneven paper gets, at most, and how many shades a side has."""


def redrawn(ink: Float[Tensor, "1 1 y x"], generator: torch.Generator) -> Float[Tensor, "1 1 y x"]:
    """Strokes thicker or thinner, with gaps, rough, on uneven paper; each in some half of all drawings.

    Args:
        ink: in [0, 1].
        generator: of what is random.

    Returns:
        Ink in [0, 1].
    """
    size = (ink.shape[-2], ink.shape[-1])

    def amount() -> float:
        """0 in one half of all cases, else uniform in [0, 1]."""
        return max(0.0, 2 * float(torch.rand((), generator=generator)) - 1)

    def field(cells: int, mode: str = "bicubic") -> Tensor:
        return F.interpolate(torch.rand(1, 1, cells, cells, generator=generator), size, mode=mode)

    wider, thinner, gaps, grain, shade = (amount() for _ in range(5))
    ink = _widened(ink, round(wider * _WIDEST * size[1]))
    thin = 1 - _widened(1 - ink, round(thinner * _WIDEST / 2 * size[1]))
    if thin.sum() > 0.5 * ink.sum():  # else it takes whole strokes away
        ink = thin
    ink = ink * (field(_GAP_CELLS, "nearest") >= gaps * _GAPS)
    cells = int(torch.randint(*_GRAIN_CELLS, (), generator=generator))
    ink = ink * (1 - grain * _GRAIN * field(cells))
    return torch.maximum(ink, shade * _SHADE * field(_SHADE_CELLS)).clamp(0, 1)


def _widened(ink: Float[Tensor, "1 1 y x"], pixels: int) -> Float[Tensor, "1 1 y x"]:
    return F.max_pool2d(ink, 2 * pixels + 1, 1, pixels) if pixels else ink
