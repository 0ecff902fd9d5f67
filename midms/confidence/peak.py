"""How much of a match is in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from midms.confidence.common import check_softness, threshold
from midms.core.limits import number
from midms.core.protocols import Match, ask


@dataclass(frozen=True)
class Peak:
    """Trust a cell that one counterpart has to itself: max_j P_ij, rows of P normalised.

    How LoFTR picks its coarse matches (Sun et al. 2021, arXiv:2104.00680, sec. 3.3). Like `Entropy` it tells ambiguity,
    not likeness, and its threshold goes with the matcher's temperature; neighbours that share a match lower it, which
    the entropy minds less.

    To choose with a matcher of low temperature, where each cell has one counterpart.

    Args:
        threshold: least probability that is trusted, in [0, 1]; LoFTR 0.2.
        softness: 0 for a mask; else the confidence is sigmoid((peak - threshold) / softness).

    Raises:
        ValueError: the threshold is not in [0, 1], or the softness negative.
    """

    asks: ClassVar[frozenset[str]] = frozenset({"peak"})
    threshold: float = 0.2
    softness: float = 0.0

    def __post_init__(self) -> None:
        number(0, 1, threshold=self.threshold)
        check_softness(self.softness)

    @property
    def differentiable(self) -> bool:
        """Whether it has a gradient: a mask has none."""
        return self.softness > 0

    def __call__(self, match: Match) -> Float[Tensor, "b 1 h w"]:
        """Confidence in each cell of the condition, in [0, 1].

        Raises:
            Unanswered: the match tells no peak.
        """
        return threshold(ask(match, "peak"), self.threshold, self.softness)
