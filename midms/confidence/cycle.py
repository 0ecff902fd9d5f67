"""Forward-backward consistency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from midms.confidence.common import check_softness
from midms.core.flow import cycle_error
from midms.core.limits import LARGE, number
from midms.core.protocols import Match


@dataclass(frozen=True)
class Cycle:
    """Trust a cell that comes back near where it left (MIDMs, arXiv:2209.11047, sec. 3.4; Sundaram et al. 2010).

    To choose without training, with any matcher, where most of the picture has one counterpart.

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
