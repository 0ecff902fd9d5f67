"""What the operations give."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

STATISTICS = ("peak", "argmax", "entropy")
"""What one pass can tell of each row beside its values and logsumexp."""


class Attended(NamedTuple):
    """One direction of a coupling P, its rows normalised. What was not asked for is None.

    Attributes:
        values: the expectation of the values under each row, in the values' precision.
        logsumexp: logsumexp of each row's logits, in float32 or better.
        peak: probability of the row's best column.
        argmax: the row's best column, the first of equals.
        entropy: of the row, in nats.
    """

    values: Float[Tensor, "b n c"]
    logsumexp: Float[Tensor, "b n"]
    peak: Float[Tensor, "b n"] | None = None
    argmax: Int[Tensor, "b n"] | None = None
    entropy: Float[Tensor, "b n"] | None = None


class NearestCells(NamedTuple):
    """Columns by inner product: of all cells in a list here, and of a grid, [b count h w], where a match gives it.

    Attributes:
        scores: inner products, the best first, in float32 or better and without gradient.
        indices: the columns, as places in the exemplar's grid read row by row; -1 where there is none.
    """

    scores: Float[Tensor, "b n *count"]
    indices: Int[Tensor, "b n *count"]
