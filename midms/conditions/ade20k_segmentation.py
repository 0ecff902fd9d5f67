"""One-hot segmentation, as the released church model takes it."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class ADE20KSegmentation:
    """One-hot segmentation: what the released church model takes."""

    @property
    def channels(self) -> int:
        """Of the map."""
        return 151

    def drawing(self, picture: Float[Tensor, "b 3 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 151 y x"]:
        """Refused: it cannot be made from a picture alone.

        Raises:
            ValueError: always.
        """
        raise ValueError("is made from a label map; give the map itself as a tensor to run(condition, exemplar)")

    def photo(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 151 Y X"]:
        """Refused: it cannot be made from a picture alone.

        Raises:
            ValueError: always.
        """
        raise ValueError("exemplar_condition must be given: it is made from a label map, not from the exemplar alone")
