"""Skeleton and limb distances, as the released DeepFashion model takes them."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class DeepFashionPose:
    """Skeleton and limb distances: what the released DeepFashion model takes."""

    @property
    def channels(self) -> int:
        """Of the map."""
        return 20

    def drawing(self, picture: Float[Tensor, "b 3 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 20 y x"]:
        """Refused: it cannot be made from a picture alone.

        Raises:
            ValueError: always.
        """
        raise ValueError("is made from keypoints; give the map itself as a tensor to run(condition, exemplar)")

    def photo(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 20 Y X"]:
        """Refused: it cannot be made from a picture alone.

        Raises:
            ValueError: always.
        """
        raise ValueError("exemplar_condition must be given: it is made from keypoints, not from the exemplar alone")
