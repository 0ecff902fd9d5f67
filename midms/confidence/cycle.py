"""Forward-backward consistency."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from midms.confidence.common import check_softness
from midms.core.flow import return_error
from midms.core.limits import LARGE, number
from midms.core.protocols import Match, TwoWay
from midms.core.types import cells


@dataclass(frozen=True)
class Cycle:
    """Trust a cell that comes back near where it left (MIDMs, arXiv:2209.11047, sec. 3.4; Sundaram et al. 2010).

    Args:
        radius: how near, in widths of the grid.
        softness: 0 for a mask; else the confidence is sigmoid((radius - error) / softness).

    Raises:
        ValueError: the radius is not positive or the softness negative.
    """

    asks: ClassVar[frozenset[str]] = frozenset()
    radius: float = 0.05
    softness: float = 0.0

    def __post_init__(self) -> None:
        number(0, LARGE, above=True, radius=self.radius)
        check_softness(self.softness)

    @property
    def differentiable(self) -> bool:
        """Whether it has a gradient: a mask has none."""
        return self.softness > 0

    def __call__(self, match: Match) -> Float[Tensor, "b 1 h w"]:
        """Confidence in each cell of the condition, in [0, 1]."""
        error, mask = cycle_error(match, self.radius)
        if self.softness:
            return torch.sigmoid((self.radius - error) / self.softness)
        return mask


def cycle_error(match: Match, radius: float = math.inf) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """How far from itself each cell comes back, in widths of the grid, and 1 where that is under the radius, else 0."""
    if isinstance(match, TwoWay):
        return match.cycle(radius)
    like = match.similarity()
    there, here = (cells(*grid, like).expand(len(like), -1, -1, -1) for grid in (match.transpose().grid, match.grid))
    error = return_error(*both_ways(match, there, here))
    return error, (error < radius).to(error.dtype)


def both_ways(
    match: Match, values: Float[Tensor, "b c H W"], back: Float[Tensor, "b e h w"]
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b e H W"]]:
    """The exemplar's values carried forth and the condition's carried back, in one pass where the match knows how."""
    if isinstance(match, TwoWay):
        return match.both(values, back)
    return match.apply(values), match.transpose().apply(back)
