"""Full confidence, without asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.protocols import Match


@dataclass(frozen=True)
class Always:
    """Every cell is trusted: MIDMs (arXiv:2209.11047) without its check.

    To choose where the match is right nearly everywhere, or as the baseline that others have to beat.
    """

    asks: ClassVar[frozenset[str]] = frozenset()
    differentiable: ClassVar[bool] = False

    def __call__(self, match: Match) -> Float[Tensor, "b 1 h w"]:
        """Ones."""
        return torch.ones_like(match.similarity())
