"""Forward-backward consistency."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.protocols import Match
from midms.types import Confidence, cells


@dataclass(frozen=True)
class Cycle:
    """Trust a cell that comes back near where it left (MIDMs, arXiv:2209.11047, sec. 3.4; Sundaram et al. 2010).

    The backward flow is read where the forward flow arrives; the released MIDMs reads the forward flow there.

    Args:
        radius: how near, in widths of the grid.
        softness: 0 for a mask; else the trust is sigmoid((radius - error) / softness).

    Raises:
        ValueError: the radius is not positive or the softness negative.
    """

    radius: float = 0.05
    softness: float = 0.0

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise ValueError(f"radius must be positive, got {self.radius}")
        if not self.softness >= 0:
            raise ValueError(f"softness must not be negative, got {self.softness}")

    def __call__(self, match: Match) -> Confidence:
        """Trust in each cell of the condition."""
        error = cycle_error(match)
        if self.softness:
            return Confidence(torch.sigmoid((self.radius - error) / self.softness))
        return Confidence((error < self.radius).to(error.dtype))


def cycle_error(match: Match) -> Float[Tensor, "b 1 h w"]:
    """How far from itself each cell comes back, in widths (cells over the longer side of the condition's grid)."""
    back = match.transpose()
    like = match.similarity()
    forward = match.apply(cells(*back.grid, like).expand(len(like), -1, -1, -1))
    return return_error(match, forward)


def return_error(match: Match, forward: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 1 h w"]:
    """`cycle_error` where the forward map is already known.

    Args:
        match: read backwards only.
        forward: (x, y) in the exemplar, in cells, that each cell of the condition is matched to.

    Returns:
        Distances in widths.
    """
    start = cells(*match.grid, forward)
    backward = match.transpose().apply(start.expand(len(forward), -1, -1, -1))
    offset = sample(backward, forward) - start
    return torch.linalg.vector_norm(offset, dim=1, keepdim=True) / max(match.grid)


def sample(values: Float[Tensor, "b c H W"], place: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b c h w"]:
    """Values bilinearly at (x, y) in cells; what lies outside takes the border's."""
    sides = place.new_tensor([values.shape[-1], values.shape[-2]]).view(1, 2, 1, 1)
    normalised = (2 * place + 1) / sides - 1
    return F.grid_sample(values, normalised.permute(0, 2, 3, 1), "bilinear", "border", align_corners=False)
