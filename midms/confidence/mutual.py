"""Whether two cells are each other's best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from midms.confidence.common import check_softness, threshold
from midms.core.limits import LARGE, number
from midms.core.protocols import Match, ask
from midms.core.types import cells


@dataclass(frozen=True)
class Mutual:
    """Trust a cell whose best counterpart has it as its own best (kornia's `match_mnn`; Rocco et al. 2018,
    arXiv:1810.10510, sec. 3.3).

    `Cycle` with the best cell each way instead of the expectation: nothing is averaged, so a match with two summits is
    not judged by the valley between them. A hard decision; nothing flows back to the features.

    To choose where a match may have two summits, or a hard decision is wanted.

    Args:
        radius: how far off the way back may end, in widths of the grid; 0 for the very cell.
        softness: 0 for a mask; else the confidence is sigmoid((radius - distance) / softness).

    Raises:
        ValueError: the radius or the softness is negative.
    """

    asks: ClassVar[frozenset[str]] = frozenset({"argmax"})
    differentiable: ClassVar[bool] = False
    radius: float = 0.0
    softness: float = 0.0

    def __post_init__(self) -> None:
        number(0, LARGE, radius=self.radius)
        check_softness(self.softness)

    def __call__(self, match: Match) -> Float[Tensor, "b 1 h w"]:
        """Confidence in each cell of the condition; none in a cell that is matched to nothing.

        Raises:
            Unanswered: the match does not tell its best cells.
        """
        return threshold(-_distance(match), -self.radius, self.softness)


def _distance(match: Match) -> Float[Tensor, "b 1 h w"]:
    """From each cell to its best's best, in widths; infinite where either has none."""
    there, back = ask(match, "argmax"), ask(match.transpose(), "argmax")
    (h, w), like = match.grid, match.similarity()
    home = back.flatten(1).gather(1, there.flatten(1).clamp(min=0)).view_as(there)
    end = torch.cat([home % w, home.div(w, rounding_mode="floor")], 1)
    distance = torch.linalg.vector_norm(end - cells(h, w, like), dim=1, keepdim=True) / max(h, w)
    return distance.masked_fill((there < 0) | (home < 0), torch.inf)
