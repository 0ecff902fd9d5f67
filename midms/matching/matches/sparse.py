"""Couplings of which most entries are zero."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from midms.core.protocols import Unanswered
from midms.matching.kernels import NearestCells
from midms.matching.matches.edges import edge_dot, edge_sum
from midms.matching.matches.factored import FactoredMatch, on_grid, tokens, untokens


@dataclass(frozen=True)
class SparseMatch:
    """P[i, j] = exp(scale * <query_i, key_j>) on some edges (i, j), and 0 elsewhere.

    A cell without edges is coupled to all alike, like one whose features say nothing. Cells are counted over the batch.

    Attributes:
        query: unit features of the condition's cells.
        key: unit features of the exemplar's cells.
        rows: of each edge: sample * h * w + cell. No edge comes twice.
        columns: of each edge: sample * H * W + cell.
        cosines: <query, key> of each edge, in float32 or better.
        scale: one over the temperature; infinity gives each cell the best of its edges.
    """

    answers: ClassVar[frozenset[str]] = frozenset({"argmax", "peak", "entropy", "top"})
    query: Float[Tensor, "b d h w"]
    key: Float[Tensor, "b d H W"]
    rows: Int[Tensor, " e"]
    columns: Int[Tensor, " e"]
    cosines: Float[Tensor, " e"]
    scale: float

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the condition's cells."""
        return self.query.shape[-2], self.query.shape[-1]

    def apply(self, values: Float[Tensor, "#b c H W"]) -> Float[Tensor, "b c h w"]:
        """The expectation of exemplar values under each row, in their own precision.

        Raises:
            ValueError: the values are not on the exemplar's grid.
        """
        flat = on_grid(values, self.key).to(self.cosines.dtype)
        weights, total = self._rows()
        out = edge_sum(weights, flat.flatten(0, 1), self.rows, self.columns, len(total)).unflatten(0, (len(flat), -1))
        out = torch.where(total.view(*out.shape[:2], 1) > 0, out, flat.mean(1, keepdim=True))
        return untokens(out.to(values.dtype), self.grid)

    def weights(self, rows: int) -> Iterator[Float[Tensor, "b r m"]]:
        """The coupling, some rows at a time: see `midms.core.protocols.Written`."""
        shares, total = self._rows()
        count, cells = self.query.shape[-2] * self.query.shape[-1], self.key.shape[-2] * self.key.shape[-1]
        row = self.rows % count
        for start, silent in zip(range(0, count, rows), (total == 0).view(-1, count).split(rows, 1), strict=True):
            some = silent[..., None].to(shares) / cells * shares.new_ones(cells)
            here = (row >= start) & (row < start + rows)
            places = self.rows[here] // count, row[here] - start, self.columns[here] % cells
            yield some.index_put(places, shares[here])

    def transpose(self) -> SparseMatch:
        """The same coupling read from exemplar to condition."""
        return SparseMatch(self.key, self.query, self.columns, self.rows, self.cosines, self.scale)

    def similarity(self) -> Float[Tensor, "b 1 h w"]:
        """Expected cosine similarity of each row with what it is matched to, in float32 or better."""
        weights, total = self._rows()
        expected = torch.zeros_like(total).index_add(0, self.rows, weights * self.cosines)
        query, key = (tokens(x).to(self.cosines.dtype) for x in (self.query, self.key))
        anyone = (query * key.mean(1, keepdim=True)).sum(-1).flatten()
        return self._grid(torch.where(total > 0, expected, anyone))

    def argmax(self) -> Int[Tensor, "b 1 h w"]:
        """Each row's most probable column, as its place in the exemplar's grid read row by row; -1 without edges."""
        cells = self.key.shape[-2] * self.key.shape[-1]
        best = self.cosines.detach() == self._top()[self.rows]
        none = torch.full((self._count(),), cells, device=self.rows.device)
        first = none.scatter_reduce(0, self.rows[best], self.columns[best] % cells, "amin")
        return self._grid(first.where(first < cells, -1))

    def peak(self) -> Float[Tensor, "b 1 h w"]:
        """The probability of each row's best column.

        Raises:
            Unanswered: each row has one column alone.
        """
        self._refuse_if_hard("peak")
        weights, total = self._rows()
        best = torch.zeros_like(total).scatter_reduce(0, self.rows, weights, "amax")
        return self._grid(best.where(total > 0, 1 / (self.key.shape[-2] * self.key.shape[-1])))

    def entropy(self) -> Float[Tensor, "b 1 h w"]:
        """Of each row, in nats; log(H W) for a row without edges.

        Raises:
            Unanswered: each row has one column alone.
        """
        self._refuse_if_hard("entropy")
        weights, total = self._rows()
        logits = self.scale * (self.cosines - self._top()[self.rows])
        expected = torch.zeros_like(total).index_add(0, self.rows, weights * logits)
        spoken = total > 0
        entropy = torch.where(spoken, total, 1).log() - expected
        return self._grid(entropy.where(spoken, math.log(self.key.shape[-2] * self.key.shape[-1])))

    def top(self, count: int) -> NearestCells:
        """The columns most like each row among all, see `FactoredMatch.top`: as dear as a dense match."""
        return FactoredMatch(self.query, self.key, 1.0).top(count)

    def _rows(self) -> tuple[Float[Tensor, " e"], Float[Tensor, " bn"]]:
        """Each edge's share of its row, and each row's total before it was shared out: 0 without edges."""
        distance = self.cosines - self._top()[self.rows]
        raw = (self.scale * distance).exp() if self.scale < math.inf else (distance >= 0).to(distance.dtype)
        total = distance.new_zeros(self._count()).index_add(0, self.rows, raw)
        return raw / total[self.rows], total

    def _top(self) -> Float[Tensor, " bn"]:
        """The best cosine of each row."""
        lowest = self.cosines.new_full((self._count(),), -torch.inf)
        return lowest.scatter_reduce(0, self.rows, self.cosines.detach(), "amax")

    def _count(self) -> int:
        return len(self.query) * self.query.shape[-2] * self.query.shape[-1]

    def _grid(self, x: Tensor) -> Tensor:
        return x.view(len(self.query), 1, *self.grid)

    def _refuse_if_hard(self, question: str) -> None:
        if self.scale == math.inf:
            raise Unanswered(
                f"{question}: a hard match gives each cell to one other; ask margin, mutual or cycle of it"
            )


def link(
    query: Float[Tensor, "b d h w"],
    key: Float[Tensor, "b d H W"],
    scale: float,
    columns: Int[Tensor, "b n r"] | None = None,
    rows: Int[Tensor, "b m s"] | None = None,
) -> SparseMatch:
    """The match over the edges between each row and its candidate columns, and each column and its candidate rows.

    Args:
        query: unit features of the condition's cells.
        key: unit features of the exemplar's cells.
        scale: one over the temperature, or infinity.
        columns: candidates of each row; -1 for none. Some may come twice.
        rows: candidates of each column, likewise.

    Returns:
        A match differentiable in query and key.
    """
    b, n, m = len(query), query.shape[-2] * query.shape[-1], key.shape[-2] * key.shape[-1]
    codes = []
    if columns is not None:
        codes.append(_codes(torch.arange(n, device=query.device).view(1, n, 1), columns, n, m, columns >= 0))
    if rows is not None:
        codes.append(_codes(rows, torch.arange(m, device=query.device).view(1, m, 1), n, m, rows >= 0))
    code = torch.cat(codes).unique()
    row, column = code // m, code // (n * m) * m + code % m
    precise = torch.promote_types(query.dtype, torch.float32)
    q, k = (tokens(x).reshape(b * size, -1).to(precise) for x, size in ((query, n), (key, m)))
    return SparseMatch(query, key, row, column, edge_dot(q, k, row, column), scale)


def _codes(rows: Tensor, columns: Tensor, n: int, m: int, present: Tensor) -> Tensor:
    """One number an edge: (sample * n + row) * m + column."""
    sample = torch.arange(len(present), device=present.device).view(-1, 1, 1)
    return ((sample * n + rows) * m + columns)[present]
