"""A floor under the cosine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from midms.confidence.common import check_softness, threshold
from midms.core.limits import number
from midms.core.protocols import Match


@dataclass(frozen=True)
class Similarity:
    """Trust a cell that is like what it is matched to: its expected cosine is above a floor.

    The floor of FreeGraftor (Nihukat 2026, github.com/Nihukat/FreeGraftor) is 0.2, between activations of a network.

    To choose with features whose cosines mean the same in all pictures, such as activations of one network.

    Args:
        floor: above which a cell is trusted, in [-1, 1).
        softness: 0 for a mask; else the confidence is sigmoid((cosine - floor) / softness).

    Raises:
        ValueError: the floor is out of range or the softness negative.
    """

    asks: ClassVar[frozenset[str]] = frozenset()
    floor: float = 0.2
    softness: float = 0.0

    def __post_init__(self) -> None:
        number(-1, 0.999, floor=self.floor)
        check_softness(self.softness)

    @property
    def differentiable(self) -> bool:
        """Whether it has a gradient: a mask has none."""
        return self.softness > 0

    def __call__(self, match: Match) -> Float[Tensor, "b 1 h w"]:
        """Confidence in each cell of the condition, in [0, 1]."""
        return threshold(match.similarity(), self.floor, self.softness)
