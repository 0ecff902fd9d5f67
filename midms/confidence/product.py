"""Several confidences at once."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn

from midms.confidence import CONFIDENCES
from midms.core.protocols import ConfidenceEstimator, Match


class Product(nn.Module):
    """Trust what every one of several confidences trusts: the product of their values.

    Of masks it is the conjunction, of probabilities of independent causes that of all of them (Hinton 2002, products of
    experts).

    Args:
        of: confidences, their names or `Spec`s.

    Raises:
        ValueError: there is none.
    """

    def __init__(self, of: tuple[ConfidenceEstimator | str, ...] = ("cycle", "margin")) -> None:
        super().__init__()
        if not of or isinstance(of, str):
            raise ValueError(f"of must be a tuple of confidences, got {of!r}")
        self.of = [CONFIDENCES.made(one, "of") for one in of]
        self.trained = nn.ModuleList(one for one in self.of if isinstance(one, nn.Module))

    @property
    def asks(self) -> frozenset[str]:
        """Whatever one of them asks."""
        return frozenset().union(*(getattr(one, "asks", frozenset()) for one in self.of))

    @property
    def differentiable(self) -> bool:
        """Whether one of them is."""
        return any(getattr(one, "differentiable", True) for one in self.of)

    def forward(self, match: Match) -> Float[Tensor, "b 1 h w"]:
        """Confidence in each cell of the condition, in [0, 1].

        Raises:
            Unanswered: the match cannot tell what one of them asks.
        """
        return math.prod((one(match) for one in self.of[1:]), start=self.of[0](match))
