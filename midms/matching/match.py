"""The one concrete coupling that the built-in matchers return, and the helpers they share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from midms.matching.kernels import couple, logsumexp


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
        via: which implementation computes it, see `kernels.couple`.
    """

    query: Float[Tensor, "b d h w"]
    key: Float[Tensor, "b d H W"]
    scale: float
    floor: float | None = None
    row_bias: Float[Tensor, "b h w"] | None = None
    col_bias: Float[Tensor, "b H W"] | None = None
    via: str = "auto"

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the condition's cells."""
        return self.query.shape[-2], self.query.shape[-1]

    def apply(self, values: Float[Tensor, "#b c H W"]) -> Float[Tensor, "b c h w"]:
        """The expectation of exemplar values under each row.

        Args:
            values: on the exemplar's grid; a batch of one serves all.

        Returns:
            The carried values, in their own precision.

        Raises:
            ValueError: the values are not on the exemplar's grid.
        """
        if values.shape[-2:] != self.key.shape[-2:] or len(values) not in (1, len(self.key)):
            raise ValueError(
                f"values: expected a batch of 1 or {len(self.key)} on a grid of {tuple(self.key.shape[-2:])}, "
                f"got shape {tuple(values.shape)}"
            )
        values = values.expand(len(self.key), -1, -1, -1)
        out, _ = couple(
            tokens(self.query), tokens(self.key), tokens(values), self._columns(), self.scale, self.floor, self.via
        )
        return untokens(out, self.grid)

    def transpose(self) -> FactoredMatch:
        """The same coupling read from exemplar to condition."""
        return FactoredMatch(self.key, self.query, self.scale, self.floor, self.col_bias, self.row_bias, self.via)

    def similarity(self) -> Float[Tensor, "b 1 h w"]:
        """Expected cosine similarity of each row with what it is matched to, in float32 or better."""
        precise = torch.promote_types(self.query.dtype, torch.float32)
        return (self.query.to(precise) * self.apply(self.key.to(precise))).sum(1, keepdim=True)

    def log_mass(self) -> Float[Tensor, "b 1 h w"]:
        """Each row's log sum_j P[i, j], before `apply` normalises it.

        For a match without biases it is the log of the softmax's normaliser: the cross-entropy with a known counterpart
        j is `log_mass - scale * <query_i, key_j>`.
        """
        mass = logsumexp(tokens(self.query), tokens(self.key), self._columns(), self.scale, self.floor, self.via)
        mass = mass.unflatten(1, self.grid)
        return (mass if self.row_bias is None else mass + self.row_bias)[:, None]

    def _columns(self) -> Float[Tensor, "b m"] | None:
        return None if self.col_bias is None else self.col_bias.flatten(1)


def tokens(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c"]:
    """A grid as a list of cells, row by row."""
    return x.flatten(2).mT


def untokens(x: Float[Tensor, "b n c"], grid: tuple[int, int]) -> Float[Tensor, "b c h w"]:
    """The inverse of `tokens`."""
    return x.mT.unflatten(-1, grid)


def unit(x: Float[Tensor, "b d h w"], eps: float = 1e-6) -> Float[Tensor, "b d h w"]:
    """Length one in every cell.

    A cell that says nothing, because it is shorter than `eps` or holds a NaN or an infinity, becomes zero and gets no
    gradient: it is equally unlike everything, so its match is uniform over the exemplar and its similarity 0.

    Args:
        x: features.
        eps: lengths below it count as zero.

    Returns:
        Unit vectors and zeros, in the precision of `x`.
    """
    precise = torch.where(x.isfinite().all(1, keepdim=True), x, 0).to(torch.promote_types(x.dtype, torch.float32))
    length = torch.linalg.vector_norm(precise, dim=1, keepdim=True)
    spoken = length > eps
    return (torch.where(spoken, precise, 0) / torch.where(spoken, length, 1)).to(x.dtype)
