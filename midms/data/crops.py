"""Which part of a picture is shown."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

MARGIN = 286 / 256
"""Pixels that a picture is brought to before it is cropped, to those that are left, as CoCosNet and MIDMs train."""


@dataclass(frozen=True)
class Crop:
    """A square out of a picture.

    Attributes:
        whole: height and width that the picture is brought to.
        corner: row and column in it where the square begins.
        size: pixels of the square's side.
        mirrored: whether the picture is turned left to right before that.
    """

    whole: tuple[int, int]
    corner: tuple[int, int]
    size: int
    mirrored: bool

    def turned(self, whole: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        """A picture of the size of the whole, mirrored if it is to be."""
        return whole.flip(-1) if self.mirrored else whole

    def cut(self, turned: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c s s"]:
        """The square out of what `turned` gives."""
        top, left = self.corner
        return turned[..., top : top + self.size, left : left + self.size]


@dataclass(frozen=True)
class Cropping:
    """How the square that is shown is found in a picture.

    Attributes:
        size: pixels of its side.
        margin: how much larger the picture is when a square is drawn at random; 1 for the whole.
        squeezed: whether pictures become square, as in CoCosNet; else they keep their proportions and are cut.
        flip: whether a random picture is mirrored, in half of all cases.
    """

    size: int
    margin: float = MARGIN
    squeezed: bool = False
    flip: bool = True

    def __call__(self, shape: tuple[int, int], generator: torch.Generator | None = None) -> Crop:
        """The crop of a picture.

        Args:
            shape: its height and width.
            generator: what it follows from; without, the crop is the middle of the picture, as much as there is.
        """
        side = self.size if generator is None else round(self.size * self.margin)
        scale = side / min(shape)
        whole = (side, side) if self.squeezed else (round(shape[0] * scale), round(shape[1] * scale))
        free = whole[0] - self.size, whole[1] - self.size
        if generator is None:
            return Crop(whole, (free[0] // 2, free[1] // 2), self.size, False)
        down, across, turn = torch.rand(3, generator=generator).tolist()
        corner = int(down * (free[0] + 1)), int(across * (free[1] + 1))
        return Crop(whole, corner, self.size, self.flip and turn < 0.5)
