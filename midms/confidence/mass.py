"""How much of a cell unbalanced transport sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from midms.confidence.common import check_softness, threshold
from midms.core.limits import LARGE, number
from midms.core.protocols import Match, ask


@dataclass(frozen=True)
class Mass:
    """Trust a cell that transport finds worth its cost: sum_j P_ij / a_i, of unbalanced transport.

    A cell whose counterpart is hidden keeps what it has (UNITE, Zhan et al. 2021, arXiv:2106.10482; Chizat et al. 2018,
    arXiv:1607.05816). One counterpart at cost c gets exp(-c / (2 reach)) or so; balanced transport sends all.

    To choose with `unbalanced-transport`, where parts are hidden.

    Args:
        threshold: least share that is trusted.
        softness: 0 for a mask; else the confidence is sigmoid((share - threshold) / softness).

    Raises:
        ValueError: the threshold is not positive, or the softness negative.
    """

    asks: ClassVar[frozenset[str]] = frozenset({"mass"})
    threshold: float = 0.5
    softness: float = 0.0

    def __post_init__(self) -> None:
        number(0, LARGE, above=True, threshold=self.threshold)
        check_softness(self.softness)

    @property
    def differentiable(self) -> bool:
        """Whether it has a gradient: a mask has none."""
        return self.softness > 0

    def __call__(self, match: Match) -> Float[Tensor, "b 1 h w"]:
        """Confidence in each cell of the condition, in [0, 1].

        Raises:
            Unanswered: the match is not one of unbalanced transport.
        """
        return threshold(ask(match, "mass"), self.threshold, self.softness)
