"""Whether a cell is matched to its own kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from midms.confidence.common import check_softness, threshold
from midms.core.limits import number
from midms.core.protocols import Match, ask


@dataclass(frozen=True)
class LabelAgreement:
    """Trust a cell whose label the exemplar has: the share of its match that is on its own label.

    With the matcher `semantic` this is 1 or 0: a hat that the exemplar lacks has to be invented (Luan et al. 2017,
    arXiv:1703.07511, sec. 3, who merge such labels beforehand). It says nothing of where on the label the match goes:
    see `product`.

    To choose where both pictures have label maps, and some labels are in one of them alone.

    Args:
        threshold: least share that is trusted.
        softness: 0 for a mask; else the confidence is sigmoid((share - threshold) / softness).

    Raises:
        ValueError: the threshold is not in (0, 1], or the softness negative.
    """

    asks: ClassVar[frozenset[str]] = frozenset({"agreement"})
    differentiable: ClassVar[bool] = False
    threshold: float = 0.5
    softness: float = 0.0

    def __post_init__(self) -> None:
        number(0, 1, above=True, threshold=self.threshold)
        check_softness(self.softness)

    def __call__(self, match: Match) -> Float[Tensor, "b 1 h w"]:
        """Confidence in each cell of the condition, in [0, 1].

        Raises:
            Unanswered: the match knows no labels.
        """
        return threshold(ask(match, "agreement"), self.threshold, self.softness)
