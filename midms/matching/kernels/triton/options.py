"""What every launch of an attention kernel needs: its options, and how the streamed side is shared out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import triton
from torch import Tensor

from midms.matching.kernels.triton.configs import PRODUCTS, ProductConfig, Tile
from midms.matching.kernels.triton.pack import LOG2E, factor

SPLIT_LIMIT = 32
"""Most programs that share the columns of one block of rows."""


@dataclass(frozen=True)
class Options:
    """How the logits are computed, and which statistics of a row are wanted beside its logsumexp.

    Attributes:
        scale: of the inner products.
        floor: lowest inner product, or None.
        precision: a key of `PRODUCTS`.
        argmax: whether each row's best column and its logit are.
        entropy: whether each row's entropy is.
    """

    scale: float
    floor: float | None
    precision: str
    argmax: bool = False
    entropy: bool = False

    @property
    def spec(self) -> ProductConfig:
        """The record of the precision."""
        return PRODUCTS[self.precision]

    @property
    def numbers(self) -> tuple[float, float]:
        """Scale that gives logits in base 2, and floor, both for products of packed features."""
        square = factor(self.spec) ** 2
        return self.scale * LOG2E / square, (self.floor or 0.0) * square


def splits_of(batches: int, tokens: int, others: int, tile: Tile, device: torch.device) -> int:
    """How many programs share the columns, so that every processor is busy; the interpreter counts as two."""
    processors = 2 if device.type == "cpu" else torch.cuda.get_device_properties(device).multi_processor_count
    wanted = triton.cdiv(processors * (8 // tile.warps), batches * triton.cdiv(tokens, tile.rows))
    return max(1, min(wanted, SPLIT_LIMIT, triton.cdiv(others, tile.columns)))


class Direction(NamedTuple):
    """The rows of one side attend to those of the other.

    Attributes:
        reader: [parts b n width] packed features of the side that attends.
        source: [parts b m width] packed features of the side attended to.
        values: [b m c] of that side.
        bias: [b m] added to its logits, in nats, or None.
    """

    reader: Tensor
    source: Tensor
    values: Tensor
    bias: Tensor | None


def bias_of(direction: Direction, biased: bool) -> Tensor | None:
    """[b m] the bias in base 2; None without any, zeros where only the other direction has one."""
    if not biased:
        return None
    if direction.bias is None:
        return direction.source.new_zeros(direction.source.shape[1:3], dtype=torch.float32)
    return (direction.bias.float() * LOG2E).contiguous()
