"""How `chunked` cuts the matrix: the slices, and the logits in them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

SLICE_ENTRIES = {"cpu": 1 << 19, "cuda": 1 << 26}
"""Entries of the matrix held at once, over the batch: what a core's cache holds, or what fills a GPU; more where that
would be few rows. Two or three such slices are alive in the forward pass, three or four in the backward."""


def slices(q: Tensor, k: Tensor, count: int) -> Iterator[tuple[slice, slice, list[Tensor]]]:
    """Whole samples while they fit in `SLICE_ENTRIES`, else some rows of one sample, not too few.

    With each comes memory [b r m] for `count` slices, the same every time: to be given new memory takes a CPU longer
    than to fill it.
    """
    (batch, _, rows), columns = q.shape, k.shape[2]
    entries = SLICE_ENTRIES.get(q.device.type, SLICE_ENTRIES["cuda"])
    samples = max(1, min(batch, entries // (rows * columns)))
    least = math.isqrt(entries // 32)  # 128 on a CPU: with fewer, reading the columns again would cost the most
    height = min(rows, max(1, least, entries // (samples * columns)))
    memory = [q.new_empty(samples, height, columns) for _ in range(count)]
    for sample in range(0, batch, samples):
        for row in range(0, rows, height):
            here, part = slice(sample, min(sample + samples, batch)), slice(row, min(row + height, rows))
            yield here, part, [x[: here.stop - sample, : part.stop - row] for x in memory]


def products(q: Tensor, k: Tensor, batch: slice, part: slice, into: Tensor, scale: float = 1.0) -> Tensor:
    """A slice [b r m] of scale times the inner products of q [b d n] and k [b d m]."""
    rows = q[batch, :, part]
    return torch.bmm((rows if scale == 1 else rows * scale).mT, k[batch], out=into)


class Logits(NamedTuple):
    """scale * max(<q_i, k_j>, floor) of q [b d n] and k [b d m], and the bias of each direction."""

    q: Tensor
    k: Tensor
    row_bias: Tensor | None
    col_bias: Tensor | None
    scale: float
    floor: float | None

    def unfloored(self, batch: slice, part: slice, into: Tensor) -> Tensor:
        """The logits [b r m] of a slice before floor and biases."""
        return products(self.q, self.k, batch, part, into, self.scale)

    @property
    def lowest(self) -> float | None:
        """The floor of the logits."""
        return None if self.floor is None else self.floor * self.scale

    def of_rows(self, logits: Tensor, batch: slice, into: Tensor) -> Tensor:
        """The logits of the rows' softmax."""
        return logits if self.col_bias is None else torch.add(logits, self.col_bias[batch, None], out=into)

    def of_columns(self, logits: Tensor, batch: slice, part: slice) -> Tensor:
        """The logits of the columns' softmax, in place."""
        return logits if self.row_bias is None else logits.add_(self.row_bias[batch, part, None])
