"""Pictures as they are, for features that see what people see."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from midms.conditions.strokes import resize_area


@dataclass(frozen=True)
class Photo:
    """The picture itself, in [0, 1]: for features of networks that were trained on all kinds of pictures.

    A drawing and a photo are then compared as they are, and what is drawn needs not be found first.

    To choose with features of networks that know all kinds of pictures, such as `diffusion`.
    """

    @property
    def channels(self) -> int:
        """Red, green, blue."""
        return 3

    def drawing(self, picture: Float[Tensor, "b 3 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 3 y x"]:
        """A picture in [-1, 1], brought to `size` (height, width)."""
        return self.photo(resize_area(picture, size))

    def photo(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 3 Y X"]:
        """A picture in [-1, 1]."""
        return (image.clamp(-1, 1) + 1) / 2
