"""Attention inside the most similar blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from midms.core.limits import divisor, int_range
from midms.core.normalize import l2_normalize
from midms.core.protocols import Match
from midms.matching.kernels import Backend, top_k
from midms.matching.matches.factored import tokens
from midms.matching.matches.sparse import SparseMatch, link


@dataclass(frozen=True)
class TopK:
    """P = softmax of correlation / temperature over the cells of the `count` blocks most like a cell's own block.

    Blocks are compared by the mean of their unit features, then cells inside the chosen ones by theirs (RABIT, Zhan et
    al. 2021, arXiv:2107.03021; blocks of 2 x 2, 3 of them, temperature 0.001 in the released
    `ranking_attention.py`). RABIT makes the choice itself differentiable for training; here it has no gradient, the
    attention has. Blocks at the border may be smaller.

    To choose for large grids where parts stay together: n (n / block^2 + count block^2) products instead of n^2.

    Args:
        count: blocks that a cell may take from.
        block: cells a side.
        temperature: divides the correlation; the larger, the softer.
        backend: which implementation compares the blocks, see `kernels.attend`.

    Raises:
        ValueError: an argument is not positive.
    """

    gives: ClassVar[type[Match]] = SparseMatch
    spatial: ClassVar[bool] = True
    count: int = 3
    block: int = 4
    temperature: float = 0.01
    backend: Backend = "auto"

    def __post_init__(self) -> None:
        divisor(temperature=self.temperature)
        int_range(1, 4096, count=self.count)
        int_range(1, 256, block=self.block)

    def __call__(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> SparseMatch:
        """Match the condition's features to the exemplar's; both are brought to unit length."""
        query, key = l2_normalize(query), l2_normalize(key)
        (of_row, rows), (of_column, columns) = self._blocks(query), self._blocks(key)
        chosen = top_k(rows, columns, min(self.count, columns.shape[1]), self.backend).indices
        candidates = _members(of_column, columns.shape[1])[chosen].flatten(2)
        return link(query, key, 1 / self.temperature, candidates[:, of_row])

    def _blocks(self, x: Float[Tensor, "b d h w"]) -> tuple[Int[Tensor, " n"], Float[Tensor, "b blocks d"]]:
        """Each cell's block, and the mean feature of each block."""
        h, w = x.shape[-2:]
        down, across = (torch.arange(side, device=x.device).div(self.block, rounding_mode="floor") for side in (h, w))
        across_count = -(-w // self.block)
        block = (down[:, None] * across_count + across).flatten()
        total = x.new_zeros(
            len(x), -(-h // self.block) * across_count, x.shape[1], dtype=torch.promote_types(x.dtype, torch.float32)
        )
        sums = total.index_add(1, block, tokens(x).to(total.dtype).detach())
        return block, sums / block.bincount()[:, None]


def _members(of_cell: Int[Tensor, " m"], blocks: int) -> Int[Tensor, "blocks most"]:
    """The cells of each block, -1 where it has fewer than another."""
    sizes = of_cell.bincount(minlength=blocks)
    order = of_cell.argsort(stable=True)
    place = torch.arange(len(order), device=order.device) - (sizes.cumsum(0) - sizes)[of_cell[order]]
    members = order.new_full((blocks, int(sizes.max())), -1)
    members[of_cell[order], place] = order
    return members
