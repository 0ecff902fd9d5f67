"""The coupling that most built-in matchers return, and the helpers they share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from einops import rearrange
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from midms.core.precision import precise, without_autocast
from midms.core.protocols import Unanswered
from midms.core.types import cells
from midms.matching.kernels import Attended, NearestCells, attend, attend_both, cycle, statistics, top_k


@dataclass(frozen=True)
class FactoredMatch:
    """log P[i, j] = scale * max(<query_i, key_j>, floor) + row_bias_i + col_bias_j, never written out.

    Softmax correlation, dual softmax and entropic optimal transport all have this form and differ only in the biases.
    `apply` normalises the rows whatever the biases, so a row bias matters to the transpose alone: without any, both
    directions are a softmax of the same correlation, as in MIDMs.

    Attributes:
        query: unit features of the condition's cells.
        key: unit features of the exemplar's cells.
        scale: one over the temperature.
        floor: lowest inner product, or None.
        row_bias: of the condition's cells; None for none.
        col_bias: of the exemplar's cells; None for none.
        backend: which implementation computes it, see `kernels.attend`.
        precision: of the products of query and key, see `kernels.attend`.
        row_marginal: log of what each of the condition's cells had to give; None where nobody said.
        col_marginal: the same of the exemplar's cells.
    """

    answers: ClassVar[frozenset[str]] = frozenset({"argmax", "peak", "entropy", "top"})
    query: Float[Tensor, "b d h w"]
    key: Float[Tensor, "b d H W"]
    scale: float
    floor: float | None = None
    row_bias: Float[Tensor, "b h w"] | None = None
    col_bias: Float[Tensor, "b H W"] | None = None
    backend: str = "auto"
    precision: str = "auto"
    row_marginal: Float[Tensor, "b h w"] | None = None
    col_marginal: Float[Tensor, "b H W"] | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the condition's cells."""
        return self.query.shape[-2], self.query.shape[-1]

    def apply(self, values: Float[Tensor, "#b c H W"]) -> Float[Tensor, "b c h w"]:
        """The expectation of exemplar values under each row.

        Args:
            values: on the exemplar's grid; a batch of one serves all.

        Returns:
            The warped values, in their own precision.

        Raises:
            ValueError: the values are not on the exemplar's grid.
        """
        values = on_grid(values, self.key)
        q, k = tokens(self.query), tokens(self.key)
        return untokens(
            attend(q, k, values, _flat(self.col_bias), self.scale, self.floor, self.backend, self.precision)[0],
            self.grid,
        )

    def weights(self, rows: int) -> Iterator[Float[Tensor, "b r m"]]:
        """The coupling, some rows at a time, in float32 or better: see `midms.core.protocols.Written`."""
        key, bias = precise(self.key).flatten(2), _flat(self.col_bias)
        for some in precise(tokens(self.query)).split(rows, 1):
            cosines = product(some, key)
            logits = self.scale * (cosines if self.floor is None else cosines.clamp(min=self.floor))
            yield (logits if bias is None else logits + bias[:, None]).softmax(-1)

    def both(
        self, values: Float[Tensor, "#b c H W"], back: Float[Tensor, "#b e h w"]
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b e H W"]]:
        """`apply(values)` and `transpose().apply(back)`, from one product of query and key.

        Args:
            values: on the exemplar's grid; a batch of one serves all.
            back: on the condition's grid, likewise.

        Returns:
            What each side gets from the other.

        Raises:
            ValueError: the values are not on the grid that they are read from.
        """
        rows, columns = self._both(values, back)
        return untokens(rows.values, self.grid), untokens(columns.values, self.transpose().grid)

    def cycle(self, radius: float) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
        """How far from itself each cell comes back, in widths, and 1 where that is under the radius, else 0."""
        precise = torch.promote_types(self.query.dtype, torch.float32)  # places are no matter of half precision
        there, here = (cells(x.shape[-2], x.shape[-1], x[:0].to(precise)) for x in (self.key, self.query))
        return cycle(*self.both(there, here), radius, self.backend)

    def transpose(self) -> FactoredMatch:
        """The same coupling read from exemplar to condition."""
        return replace(
            self,
            query=self.key,
            key=self.query,
            row_bias=self.col_bias,
            col_bias=self.row_bias,
            row_marginal=self.col_marginal,
            col_marginal=self.row_marginal,
        )

    def similarity(self) -> Float[Tensor, "b 1 h w"]:
        """Expected cosine similarity of each row with what it is matched to, in float32 or better."""
        if self.floor is not None:
            precise = torch.promote_types(self.query.dtype, torch.float32)
            return (self.query.to(precise) * self.apply(self.key.to(precise))).sum(1, keepdim=True)
        # logsumexp - entropy is the expected logit: the features need not be warped
        q, k, bias = tokens(self.query), tokens(self.key), _flat(self.col_bias)
        finite = None if bias is None else bias.masked_fill(bias == -torch.inf, 0)[..., None]
        got = statistics(q, k, finite, bias, self.scale, None, self.backend, self.precision, ("entropy",))
        assert got.entropy is not None
        logit = got.logsumexp - got.entropy if finite is None else got.logsumexp - got.entropy - got.values[..., 0]
        return self._grid(logit.masked_fill(got.logsumexp == -torch.inf, 0) / self.scale)

    def log_row_sums(self) -> Float[Tensor, "b 1 h w"]:
        """Each row's log sum_j P[i, j], before `apply` normalises it.

        For a match without biases it is the log of the softmax's normaliser: the cross-entropy with a known counterpart
        j is `log_row_sums - scale * <query_i, key_j>`.
        """
        log_sums = self._statistics().logsumexp.unflatten(1, self.grid)
        return (log_sums if self.row_bias is None else log_sums + self.row_bias)[:, None]

    def mass(self) -> Float[Tensor, "b 1 h w"]:
        """The share that each row gives of what it had to give: below 1 where unbalanced transport lets it keep some.

        Raises:
            Unanswered: nobody said what it had to give, or it has to give all.
        """
        if self.row_marginal is None:
            raise Unanswered("mass: only unbalanced transport lets a cell keep some of it")
        return (self.log_row_sums() - self.row_marginal[:, None]).exp()

    def peak(self) -> Float[Tensor, "b 1 h w"]:
        """The probability of each row's best column."""
        return self._grid(self._statistics("peak").peak)

    def argmax(self) -> Int[Tensor, "b 1 h w"]:
        """Each row's most probable column, as its place in the exemplar's grid read row by row."""
        return self._grid(self._statistics("argmax").argmax)

    def entropy(self) -> Float[Tensor, "b 1 h w"]:
        """Of each row, in nats: 0 where one column has it all, log(H W) where all have the same."""
        return self._grid(self._statistics("entropy").entropy)

    def top(self, count: int) -> NearestCells:
        """The columns most like each row, best first, by cosine similarity alone: biases and floor play no part.

        Args:
            count: from 1 to the number of the exemplar's cells.

        Returns:
            [b count h w] similarities, without gradient, and columns, counted as in `argmax`.

        Raises:
            ValueError: there are not so many cells.
        """
        nearest = top_k(tokens(self.query), tokens(self.key), count, self.backend, self.precision)
        return NearestCells(untokens(nearest.scores, self.grid), untokens(nearest.indices, self.grid))

    def _statistics(self, *stats: str) -> Attended:
        q, k, bias = tokens(self.query), tokens(self.key), _flat(self.col_bias)
        return statistics(q, k, None, bias, self.scale, self.floor, self.backend, self.precision, stats)

    def _both(self, values: Tensor, back: Tensor, *stats: str) -> tuple[Attended, Attended]:
        return attend_both(
            tokens(self.query), tokens(self.key), on_grid(values, self.key), on_grid(back, self.query),
            _flat(self.row_bias), _flat(self.col_bias), self.scale, self.floor, self.backend, self.precision, stats,
        )  # fmt: skip

    def _grid(self, x: Tensor | None) -> Tensor:
        assert x is not None
        return x.unflatten(1, self.grid)[:, None]


@without_autocast
def product(a: Float[Tensor, "b n k"], b: Float[Tensor, "b k m"]) -> Float[Tensor, "b n m"]:
    """a @ b."""
    return a @ b


def _flat(bias: Float[Tensor, "b h w"] | None) -> Float[Tensor, "b n"] | None:
    return None if bias is None else bias.flatten(1)


def on_grid(values: Float[Tensor, "_ c _ _"], side: Float[Tensor, "b d h w"]) -> Float[Tensor, "b n c"]:
    """Tokens of values on a side's grid, one of them for all or one each.

    Raises:
        ValueError: they are on another grid, or not as many.
    """
    if values.shape[-2:] != side.shape[-2:] or len(values) not in (1, len(side)):
        raise ValueError(
            f"values: expected a batch of 1 or {len(side)} on a grid of {tuple(side.shape[-2:])}, "
            f"got shape {tuple(values.shape)}"
        )
    return tokens(values).expand(len(side), -1, -1)


def tokens(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c"]:
    """A grid as a list of cells, row by row."""
    return rearrange(x, "b c h w -> b (h w) c")


def untokens(x: Shaped[Tensor, "b n c"], grid: tuple[int, int]) -> Shaped[Tensor, "b c h w"]:
    """The inverse of `tokens`."""
    return rearrange(x, "b (h w) c -> b c h w", h=grid[0], w=grid[1])
