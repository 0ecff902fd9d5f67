"""A picture in the middle of the canvas that is computed, and what belongs to the picture taken out again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from midms.core.types import scaling
from midms.images.reading import native_size


@dataclass(frozen=True)
class Frame:
    """Height and width in pixels of a canvas and of the picture in its middle.

    Attributes:
        picture: what a person handed in, as it is matched.
        canvas: what is computed; the same, unless the picture is not of the shape that the weights know.
        home: homography from the picture's pixels to those of what a person handed in.
    """

    picture: tuple[int, int]
    canvas: tuple[int, int]
    home: Float[Tensor, "3 3"] = field(default_factory=lambda: scaling(1, 1), compare=False)

    def within(self, home: Float[Tensor, "3 3"]) -> Frame:
        """The frame where what was framed is itself taken from a picture, from whose pixels to which is given."""
        return replace(self, home=home @ self.home)

    def origins(self, places: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
        """Where places (x, y) in the picture are in what a person handed in."""
        ahead = torch.cat([places, torch.ones_like(places[:, :1])], 1).double() @ self.home.T
        return (ahead[:, :2] / ahead[:, 2:]).to(places)

    @property
    def handed_in(self) -> tuple[int, int]:
        """Width and height of what a person handed in, where the picture is all of it."""
        height, width = self.picture
        (left, top), (right, bottom) = self.origins(torch.tensor([[-0.5, -0.5], [width - 0.5, height - 0.5]])).tolist()
        return round(right - left), round(bottom - top)

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the canvas where the picture begins."""
        return (self.canvas[0] - self.picture[0]) // 2, (self.canvas[1] - self.picture[1]) // 2

    def pad(self, picture: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y2 x2"]:
        """A picture of any size in these proportions, its edges repeated as far as the canvas reaches."""
        height, width = picture.shape[-2:]
        more = [
            max(0, round(side * whole / part) - side)
            for side, part, whole in zip((height, width), self.picture, self.canvas, strict=True)
        ]
        if not any(more):
            return picture
        top, left = more[0] // 2, more[1] // 2
        return F.pad(picture, (left, more[1] - left, top, more[0] - top), mode="replicate")

    def crop(self, canvas: Shaped[Tensor, "b c y2 x2"]) -> Shaped[Tensor, "b c y x"]:
        """What of a canvas, at any resolution, is the picture."""
        height, width = (
            round(side * part / whole)
            for side, part, whole in zip(canvas.shape[-2:], self.picture, self.canvas, strict=True)
        )
        top, left = (canvas.shape[-2] - height) // 2, (canvas.shape[-1] - width) // 2
        return canvas[..., top : top + height, left : left + width]


def framed(shape: tuple[int, int], size: int, multiple: int, square: bool) -> Frame:
    """The frame of a picture.

    Args:
        shape: its height and width.
        size: pixels of the canvas' shorter side.
        multiple: that the canvas' sides are multiples of.
        square: whether the canvas must be square; then it is the picture's longer side that has its length.
    """
    native = native_size(shape, size, multiple)
    canvas = native
    if square and native[0] != native[1]:
        canvas = native_size((1, 1), size, multiple)
        share = canvas[0] / max(shape)
        native = max(1, round(shape[0] * share)), max(1, round(shape[1] * share))
    return Frame(native, canvas, scaling(shape[1] / native[1], shape[0] / native[0]))
