"""Results several times as large, from overlapping tiles that are each translated by themselves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from midms.core.limits import int_range, number
from midms.core.types import CropFn, Finished
from midms.images.reading import resize

_BYTES = 80
"""That a pixel of the finished picture takes at the peak, by measurement."""
_MANY = 16
"""Tiles from which it is shown how many are done."""


@dataclass(frozen=True)
class Tiles:
    """Detail from tiles of the drawing, colours from the result: a tile knows little of the whole.

    A tile is matched against the whole exemplar. Tiles are blended where they overlap, by weights that rise from their
    borders on (a raised cosine). Of the blend only that is taken which the result is too coarse to show: brought to
    the result's size, the finished picture is the result again, nearly. Where nothing is drawn, the result is enlarged.

    To choose for textures, with a method that was trained on parts.

    Attributes:
        scale: how many times as large as the result. A tile is as large as the result itself, so `scale` squared of
            them are translated, and more for their overlap.
        overlap: share of a tile that its neighbour covers too, at least.
    """

    scale: int = 2
    overlap: float = 0.25

    def __post_init__(self) -> None:
        int_range(1, 16, scale=self.scale)
        number(0, 0.75, overlap=self.overlap)

    def __call__(
        self,
        coloured: Float[Tensor, "1 3 y x"],
        drawing: Float[Tensor, "1 3 Y X"],
        exemplars: Sequence[Float[Tensor, "1 3 _ _"]],
        translate_crop: CropFn,
    ) -> Finished:
        """The result, `scale` times as large.

        Args:
            coloured: the result, in [-1, 1].
            drawing: not used.
            exemplars: not used.
            translate_crop: translates a tile.
        """
        height, width = coloured.shape[-2:]
        whole = resize(coloured, (self.scale * height, self.scale * width))
        if self.scale == 1:
            return Finished(coloured)
        total, weights = torch.zeros_like(whole), torch.zeros_like(whole[:, :1])
        weight = _bell(height, whole)[:, None] * _bell(width, whole)
        corners = list(itertools.product(*(_starts(side, self.scale, self.overlap) for side in (height, width))))
        for top, left in tqdm(corners, "tiles", leave=False, disable=None if len(corners) > _MANY else True):
            box = (top / height, left / width, top / height + 1, left / width + 1)
            tile = translate_crop(tuple(share / self.scale for share in box))  # type: ignore[arg-type]
            place = (..., slice(top, top + height), slice(left, left + width))
            total[place] += weight * (whole[place] if tile is None else resize(tile, (height, width)).to(whole))
            weights[place] += weight
        blend = total / weights
        coarse = resize(resize(blend, (height, width)), (self.scale * height, self.scale * width))
        return Finished(whole + blend - coarse)

    def memory(self, result: tuple[int, int], drawing: tuple[int, int]) -> int:
        """Bytes at the peak, in proportion to the finished picture's pixels."""
        return _BYTES * self.scale**2 * result[0] * result[1]


def _starts(length: int, scale: int, overlap: float) -> list[int]:
    """Where tiles of a length begin on a side so many times as long, evenly, the last at its end."""
    count = 1 + math.ceil((scale - 1) / (1 - overlap))
    return [round(place * (scale - 1) * length / (count - 1)) for place in range(count)]


def _bell(length: int, like: Tensor) -> Float[Tensor, "n"]:
    """Weights that rise from the ends to the middle, all above 0."""
    places = (torch.arange(length, device=like.device, dtype=like.dtype) + 0.5) / length
    return torch.sin(math.pi * places).square()
