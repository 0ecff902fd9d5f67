"""The check of the released MIDMs, as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.flow import sample
from midms.core.limits import LARGE, number
from midms.core.protocols import Match
from midms.core.types import cells


@dataclass(frozen=True)
class CycleReleased:
    """What the released MIDMs does where the article (arXiv:2209.11047) has a forward-backward check. It is none.

    The forward flow is read where the forward flow arrives and added to itself; the backward flow is never looked at.
    It is small where the exemplar's counterpart lies near the cell itself, so it acts as a prior on displacement: it
    refuses a consistent shift and accepts any mirror image. `cycle` is what the article says. Of the cells that pass, a
    2 x 2 block is trusted whole if more than half of it does (3 of 4), else not at all.

    To choose for the numbers of the released code, and for nothing else: see `cycle`.

    Attributes:
        radius: what the sum of the two flows must stay below, in half widths and half heights between the centres of
            the corner cells, so that 2 is the whole way across.

    Raises:
        ValueError: the radius is not positive.
    """

    asks: ClassVar[frozenset[str]] = frozenset()
    differentiable: ClassVar[bool] = False
    radius: float = 0.5

    def __post_init__(self) -> None:
        number(0, LARGE, above=True, radius=self.radius)

    def __call__(self, match: Match) -> Float[Tensor, "b 1 h w"]:
        """Confidence in each cell of the condition, 0 or 1."""
        return vote((twice_forward(match) < self.radius).float())


def twice_forward(match: Match) -> Float[Tensor, "b 1 h w"]:
    """Length of forward flow + forward flow where it arrives, in the units of `CycleReleased.radius`.

    Args:
        match: read forwards only; the exemplar's grid may differ from the condition's and counts as laid over it.
    """
    like, (h, w), (rows, columns) = match.similarity(), match.grid, match.transpose().grid
    arrival = match.apply(cells(rows, columns, like).expand(len(like), -1, -1, -1)) / _span(rows, columns, like)
    flow = arrival - cells(h, w, like) / _span(h, w, like)
    again = sample(flow, arrival * _span(h, w, like))
    return 2 * torch.linalg.vector_norm(flow + again, dim=1, keepdim=True)


def vote(mask: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """1 in each 2 x 2 block of which more than half is 1, else 0; blocks that the border cuts count what is there."""
    share = F.avg_pool2d(mask, 2, ceil_mode=True, count_include_pad=False)
    h, w = mask.shape[-2:]
    return (share > 0.5).to(mask).repeat_interleave(2, -2).repeat_interleave(2, -1)[..., :h, :w]


def _span(height: int, width: int, like: Tensor) -> Float[Tensor, "1 2 1 1"]:
    """Cells from the first centre to the last, at least 1."""
    return like.new_tensor([max(width - 1, 1), max(height - 1, 1)]).view(1, 2, 1, 1)
