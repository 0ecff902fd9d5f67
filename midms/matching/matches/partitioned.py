"""A coupling in blocks, each between some rows and some columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from midms.core.protocols import Match, ask
from midms.matching.kernels import NearestCells
from midms.matching.matches.factored import on_grid, untokens


@dataclass(frozen=True)
class Block:
    """One sample's rows, and the columns that they are matched to.

    Attributes:
        sample: in the batch.
        rows: cells of the condition.
        columns: cells of the exemplar.
        match: between them, each as a grid of height 1.
        shared: whether rows and columns have one label; else they are those without and all others.
    """

    sample: int
    rows: Int[Tensor, " n"]
    columns: Int[Tensor, " m"]
    match: Match
    shared: bool

    def transpose(self) -> Block:
        """Read from exemplar to condition."""
        return Block(self.sample, self.columns, self.rows, self.match.transpose(), self.shared)


@dataclass(frozen=True)
class PartitionedMatch:
    """Rows in blocks, and columns in blocks; what is in no common block is not coupled.

    Attributes:
        query: features of the condition's cells.
        key: features of the exemplar's cells.
        blocks: every row of every sample in one of them.
        back: every column in one of them, read from exemplar to condition.
    """

    answers: ClassVar[frozenset[str]] = frozenset({"agreement"})
    query: Float[Tensor, "b d h w"]
    key: Float[Tensor, "b d H W"]
    blocks: tuple[Block, ...]
    back: tuple[Block, ...]

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the condition's cells."""
        return self.query.shape[-2], self.query.shape[-1]

    def apply(self, values: Float[Tensor, "#b c H W"]) -> Float[Tensor, "b c h w"]:
        """The expectation of exemplar values under each row, in their own precision.

        Raises:
            ValueError: the values are not on the exemplar's grid.
        """
        flat = on_grid(values, self.key)
        return self._gather(
            [block.match.apply(flat[block.sample, block.columns].mT[None, :, None]) for block in self.blocks]
        )

    def transpose(self) -> PartitionedMatch:
        """The same coupling read from exemplar to condition."""
        return PartitionedMatch(self.key, self.query, self.back, self.blocks)

    def similarity(self) -> Float[Tensor, "b 1 h w"]:
        """Expected cosine similarity of each row with what it is matched to."""
        return self._gather([block.match.similarity() for block in self.blocks])

    def agreement(self) -> Float[Tensor, "b 1 h w"]:
        """1 where a row is matched to columns of its label, 0 where there are none."""
        like = self.similarity()
        return self._gather([like.new_full((1, 1, 1, len(block.rows)), float(block.shared)) for block in self.blocks])

    def argmax(self) -> Int[Tensor, "b 1 h w"]:
        """Each row's most probable column, as its place in the exemplar's grid read row by row; -1 for none."""
        found = self._ask("argmax")
        whole = [
            block.columns[best.clamp(min=0)].where(best >= 0, -1)
            for block, best in zip(self.blocks, found, strict=True)
        ]
        return self._gather(whole)

    def peak(self) -> Float[Tensor, "b 1 h w"]:
        """The probability of each row's best column."""
        return self._gather(self._ask("peak"))

    def entropy(self) -> Float[Tensor, "b 1 h w"]:
        """Of each row, in nats."""
        return self._gather(self._ask("entropy"))

    def mass(self) -> Float[Tensor, "b 1 h w"]:
        """The share that each row gives of what it had to give, see `FactoredMatch.mass`."""
        return self._gather(self._ask("mass"))

    def top(self, count: int) -> NearestCells:
        """The columns most like each row among those that it may be matched to, see `FactoredMatch.top`.

        A row with fewer candidates gets its best again, at similarity -1.
        """
        scores, places = [], []
        for block in self.blocks:
            (found,) = self._ask("top", min(count, len(block.columns)), of=(block,))
            columns, lacking = block.columns[found.indices], [-1, count - found.indices.shape[1], -1, -1]
            lowest = torch.full_like(found.scores[:, :1], -1)
            places.append(torch.cat([columns, columns[:, :1].expand(lacking)], 1))
            scores.append(torch.cat([found.scores, lowest.expand(lacking)], 1))
        return NearestCells(self._gather(scores), self._gather(places))

    def _ask(self, question: str, *arguments: Any, of: tuple[Block, ...] | None = None) -> list[Any]:
        """What each block's match says."""
        return [ask(block.match, question, *arguments) for block in (self.blocks if of is None else of)]

    def _gather(self, results: list[Shaped[Tensor, "1 c 1 _"]]) -> Shaped[Tensor, "b c h w"]:
        """Each block's result to where its rows are."""
        h, w = self.grid
        whole = results[0].new_zeros(len(self.query), h * w, results[0].shape[1])
        for block, result in zip(self.blocks, results, strict=True):
            whole[block.sample, block.rows] = result[0, :, 0].mT
        return untokens(whole, self.grid)
