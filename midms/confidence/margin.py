"""How much better the best is than its rivals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from midms.confidence.common import check_softness, threshold
from midms.core.limits import number
from midms.core.protocols import Match, ask


@dataclass(frozen=True)
class Margin:
    """Trust a cell whose best counterpart is more like it than any elsewhere.

    The cosine of the most similar cell less that of the most similar one that is not its neighbour. The second best
    must be taken elsewhere, since on smooth features it is always next door (Lowe 2004, sec. 7.1, who takes it from
    another object; his is a ratio of distances). It does not depend on the matcher's temperature.

    To choose where features have look-alikes, with a matcher whose temperature may change.

    Args:
        threshold: least margin that is trusted, in cosine similarity.
        apart: from which distance on a cell is a rival, in cells of the exemplar.
        softness: 0 for a mask; else the confidence is sigmoid((margin - threshold) / softness).

    Raises:
        ValueError: apart is not positive, or the softness negative.
    """

    asks: ClassVar[frozenset[str]] = frozenset({"top"})
    differentiable: ClassVar[bool] = False
    threshold: float = 0.1
    apart: float = 2.0
    softness: float = 0.0

    def __post_init__(self) -> None:
        number(-2, 2, threshold=self.threshold)
        number(0, 256, above=True, apart=self.apart)
        check_softness(self.softness)

    def __call__(self, match: Match) -> Float[Tensor, "b 1 h w"]:
        """Confidence in each cell of the condition; full where the exemplar is too small for a rival.

        Raises:
            Unanswered: the match does not tell what is most like each cell.
        """
        return threshold(_margin(match, self.apart), self.threshold, self.softness)


def _margin(match: Match, apart: float) -> Float[Tensor, "b 1 h w"]:
    """Best cosine less the best at a distance; 2, the most there is, where nothing is so far."""
    height, width = match.transpose().grid
    reach = range(1 - math.ceil(apart), math.ceil(apart))
    nearer = sum(math.hypot(x, y) < apart for x in reach for y in reach)
    similarities, places = ask(match, "top", min(nearer + 1, height * width))
    x, y = (places % width).float(), places.div(width, rounding_mode="floor").float()
    rival = torch.hypot(x - x[:, :1], y - y[:, :1]) >= apart
    best = similarities.masked_fill(~rival, -torch.inf).amax(1, keepdim=True)
    return (similarities[:, :1] - best).clamp(max=2.0)
