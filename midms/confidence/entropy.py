"""How spread out a match is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from midms.confidence.common import check_softness, threshold
from midms.core.limits import LARGE, number
from midms.core.protocols import Match, ask


@dataclass(frozen=True)
class Entropy:
    """Trust a cell whose match is narrow: H_i = -sum_j P_ij log P_ij, rows of P normalised (Shannon 1948).

    A row of entropy H is as undecided as one that is uniform over e^H cells. It tells ambiguity, not likeness: at a
    temperature near 0 the best of bad candidates stands alone too. The threshold goes with the matcher's temperature.

    To choose where features have look-alikes, so that an undecided match is spread out.

    Args:
        threshold: most entropy that is trusted, in nats.
        softness: 0 for a mask; else the confidence is sigmoid((threshold - H) / softness).

    Raises:
        ValueError: the threshold or the softness is negative.
    """

    asks: ClassVar[frozenset[str]] = frozenset({"entropy"})
    threshold: float = 2.0
    softness: float = 0.0

    def __post_init__(self) -> None:
        number(0, LARGE, threshold=self.threshold)
        check_softness(self.softness)

    @property
    def differentiable(self) -> bool:
        """Whether it has a gradient: a mask has none."""
        return self.softness > 0

    def __call__(self, match: Match) -> Float[Tensor, "b 1 h w"]:
        """Confidence in each cell of the condition, in [0, 1].

        Raises:
            Unanswered: the match tells no entropy.
        """
        return threshold(-ask(match, "entropy"), -self.threshold, self.softness)
