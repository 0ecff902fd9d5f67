"""A drawing and its exemplar as a pair: in what hand, in what framing, and read by what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from midms.core.errors import NothingDrawn
from midms.core.protocols import ConditionExtractor
from midms.data.errors import BrokenSample
from midms.data.pair import Pair

_SCALES, _ASIDE = (0.7, 1.15), 0.15


def drawn_pair(
    drawing: Float[Tensor, "1 3 Y X"],
    exemplar: Float[Tensor, "1 3 y x"],
    target: Float[Tensor, "1 3 y x"],
    foreground: Bool[Tensor, "1 1 y x"],
    condition: ConditionExtractor | None,
    redraw: Callable[[Tensor], Tensor] | None,
    name: str,
) -> Pair:
    """What a data set of drawings gives.

    Args:
        drawing: in [-1, 1]; as large as the target where there is no condition.
        exemplar: in [-1, 1].
        target: in [-1, 1].
        foreground: see `Pair`.
        condition: what reads drawings and pictures; without, the condition is the drawing's ink.
        redraw: from the drawing's ink [1 1 y x] in [0, 1] to that of another hand.
        name: of the drawing, for errors.

    Raises:
        BrokenSample: the drawing cannot be read.
    """
    ink = (1 - drawing.mean(1, keepdim=True)) / 2
    if redraw is not None:
        ink = redraw(ink)
    if condition is None:
        return Pair(ink.clamp(0, 1), exemplar, target, foreground=foreground)
    try:
        lines = condition.drawing((1 - 2 * ink).expand(-1, 3, -1, -1), (target.shape[-2], target.shape[-1]))
    except NothingDrawn as error:
        raise BrokenSample(f"{name}: {error}") from None
    return Pair(lines, exemplar, target, condition.photo(exemplar), foreground=foreground)


@dataclass(frozen=True)
class Reframing:
    """A picture scaled about its middle and moved, what comes in from beyond it filled.

    Attributes:
        scale: how much larger what is shown gets.
        right: how far it moves, in widths of the picture.
        down: how far it moves, in heights of the picture.
    """

    scale: float
    right: float
    down: float

    @classmethod
    def drawn(cls, generator: torch.Generator) -> Reframing:
        """A random one that leaves no gap at the bottom, where shoulders are cut."""
        size, right, down = torch.rand(3, generator=generator).tolist()
        scale = _SCALES[0] + size * (_SCALES[1] - _SCALES[0])
        highest = (1 - scale) / 2
        return cls(scale, (2 * right - 1) * _ASIDE, highest + down * (_ASIDE - highest))

    def __call__(
        self, picture: Float[Tensor, "1 c y x"], fill: Float[Tensor, " c"] | float
    ) -> Float[Tensor, "1 c y x"]:
        """The picture so framed.

        Args:
            picture: of any range.
            fill: what it has beyond its borders.
        """
        rows = [[1 / self.scale, 0, -2 * self.right / self.scale], [0, 1 / self.scale, -2 * self.down / self.scale]]
        grid = F.affine_grid(torch.tensor([rows]), [*picture.shape], align_corners=False)
        beyond = torch.as_tensor(fill).view(1, -1, 1, 1)
        return F.grid_sample(picture - beyond, grid, align_corners=False) + beyond
