"""Edges and distances of the parts of a face, as the released CelebA-HQ model takes them."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class CelebaHQEdge:
    """Edges and distances of the parts of a face: what the released CelebA-HQ model takes."""

    @property
    def channels(self) -> int:
        """Of the map."""
        return 15

    def drawing(self, picture: Float[Tensor, "b 3 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 15 y x"]:
        """Refused: it cannot be made from a picture alone.

        Raises:
            ValueError: always.
        """
        raise ValueError("is made from part masks and a photo: give the map itself to run(...)")

    def photo(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 15 Y X"]:
        """Refused: it cannot be made from a picture alone.

        Raises:
            ValueError: always.
        """
        raise ValueError("exemplar_condition must be given: it is made from part masks and a photo")
