"""Couplings of small grids, written out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from midms.matching.kernels import NearestCells
from midms.matching.matches.factored import FactoredMatch, on_grid, product, tokens, untokens


@dataclass(frozen=True)
class DenseMatch:
    """log P[i, j] = logits[i, j], for methods whose logits are no function of an inner product.

    Takes n x m numbers: for grids up to about 64 x 64.

    Attributes:
        query: unit features of the condition's cells; they tell the similarity alone.
        key: unit features of the exemplar's cells, likewise.
        logits: in float32 or better.
    """

    answers: ClassVar[frozenset[str]] = frozenset({"argmax", "peak", "entropy", "top"})
    query: Float[Tensor, "b d h w"]
    key: Float[Tensor, "b d H W"]
    logits: Float[Tensor, "b n m"]

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the condition's cells."""
        return self.query.shape[-2], self.query.shape[-1]

    def apply(self, values: Float[Tensor, "#b c H W"]) -> Float[Tensor, "b c h w"]:
        """The expectation of exemplar values under each row, in their own precision.

        Raises:
            ValueError: the values are not on the exemplar's grid.
        """
        flat = on_grid(values, self.key).to(self.logits.dtype)
        return untokens(product(self.logits.softmax(-1), flat).to(values.dtype), self.grid)

    def weights(self, rows: int) -> Iterator[Float[Tensor, "b r m"]]:
        """The coupling, some rows at a time: see `midms.core.protocols.Written`."""
        yield from (some.softmax(-1) for some in self.logits.split(rows, 1))

    def transpose(self) -> DenseMatch:
        """The same coupling read from exemplar to condition."""
        return replace(self, query=self.key, key=self.query, logits=self.logits.mT)

    def similarity(self) -> Float[Tensor, "b 1 h w"]:
        """Expected cosine similarity of each row with what it is matched to, in float32 or better."""
        precise = torch.promote_types(self.query.dtype, torch.float32)
        return (self.query.to(precise) * self.apply(self.key.to(precise))).sum(1, keepdim=True)

    def argmax(self) -> Int[Tensor, "b 1 h w"]:
        """Each row's most probable column, as its place in the exemplar's grid read row by row."""
        return self._grid(self.logits.argmax(-1))

    def peak(self) -> Float[Tensor, "b 1 h w"]:
        """The probability of each row's best column."""
        return self._grid(self.logits.softmax(-1).amax(-1))

    def entropy(self) -> Float[Tensor, "b 1 h w"]:
        """Of each row, in nats."""
        return self._grid(-(self.logits.softmax(-1) * self.logits.log_softmax(-1)).sum(-1))

    def top(self, count: int) -> NearestCells:
        """The columns most like each row by cosine similarity, see `FactoredMatch.top`."""
        return FactoredMatch(self.query, self.key, 1.0).top(count)

    def _grid(self, x: Tensor) -> Tensor:
        return x.unflatten(1, self.grid)[:, None]


def cosines(query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"], limit: int) -> Float[Tensor, "b n m"]:
    """All inner products, in float32 or better.

    Raises:
        ValueError: they would be more than the limit, of a sample.
    """
    q, k = tokens(query), tokens(key)
    if q.shape[1] * k.shape[1] > limit:
        raise ValueError(
            f"grids of {tuple(query.shape[-2:])} and {tuple(key.shape[-2:])} cells make a matrix of "
            f"{q.shape[1] * k.shape[1]:,} entries, more than {limit:,}: too large for a dense matcher"
        )
    precise = torch.promote_types(q.dtype, torch.float32)
    return product(q.to(precise), k.to(precise).mT)
