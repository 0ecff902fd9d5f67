"""Several confidences at once."""

from __future__ import annotations

import math
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from midms.confidence.cycle import Cycle
from midms.confidence.margin import Margin
from midms.core.protocols import ConfidenceEstimator, Match


class Product(nn.Module):
    """Trust what every one of several confidences trusts: the product of their values.

    Of masks it is the conjunction, of probabilities of independent causes that of all of them (Hinton 2002, products of
    experts).

    To choose where two reasons for doubt are independent, such as labels and places.

    Args:
        of: confidences; `midms.create` and `build` take names and `Spec`s too.

    Raises:
        ValueError: there is none, or one is no confidence.
    """

    nested: ClassVar[dict[str, str]] = {"of": "confidence"}

    def __init__(self, of: tuple[ConfidenceEstimator, ...] = (Cycle(), Margin())) -> None:
        super().__init__()
        if not of or not all(map(callable, of)):
            raise ValueError(f"of must be a tuple of confidences, got {of!r}")
        self.of = list(of)
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
