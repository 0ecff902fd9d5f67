"""Edges of a photo, and the distance to them."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from midms.conditions.strokes import edges, line_map, resize_area
from midms.core.limits import number


@dataclass(frozen=True)
class Edges:
    """Colour edges in [0, 1] and the distance to the nearest, for conditions that are photos themselves.

    Attributes:
        threshold: strength of the edge from which distance is measured.
    """

    threshold: float = 0.35

    def __post_init__(self) -> None:
        number(0, 1, threshold=self.threshold)

    @property
    def channels(self) -> int:
        """Edges and distance."""
        return 2

    def drawing(self, picture: Float[Tensor, "b 3 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 2 y x"]:
        """The map of a photo in [-1, 1], brought to `size` (height, width)."""
        return self.photo(resize_area(picture, size).clamp(-1, 1))

    def photo(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 2 Y X"]:
        """The map of a photo in [-1, 1]."""
        return line_map(edges(image), self.threshold)
