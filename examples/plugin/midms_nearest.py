"""Parts in a package of their own: a matcher, by which every cell takes from the one most like it, and a condition.

Nothing of midms is imported. A match is anything with `grid`, `apply`, `transpose` and `similarity`, as
`midms/core/protocols.py` has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class HardMatch:
    """The best column of each row.

    Attributes:
        query: unit features of the condition's cells, [b d h w].
        key: unit features of the exemplar's cells, [b d H W].
    """

    query: Tensor
    key: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the condition's cells."""
        return self.query.shape[2], self.query.shape[3]

    def _best(self) -> tuple[Tensor, Tensor]:
        return torch.einsum("bdi,bdj->bij", self.query.flatten(2), self.key.flatten(2)).max(-1)

    def apply(self, values: Tensor) -> Tensor:
        """Values [b c H W] of the exemplar onto the condition's grid, [b c h w]."""
        best = self._best()[1][:, None].expand(-1, values.shape[1], -1)
        return values.expand(len(self.key), -1, -1, -1).flatten(2).gather(2, best).unflatten(2, self.grid)

    def transpose(self) -> HardMatch:
        """The best row of each column."""
        return HardMatch(self.key, self.query)

    def similarity(self) -> Tensor:
        """Cosine of each cell and what it takes, [b 1 h w]."""
        return self._best()[0].unflatten(1, self.grid)[:, None]


@dataclass(frozen=True)
class Nearest:
    """Nearest neighbours by cosine similarity.

    Cells whose features are zero or not finite are like nothing: they take from the first cell, with similarity 0.
    """

    def __call__(self, query: Tensor, key: Tensor) -> HardMatch:
        """Match features [b d h w] of the condition to features [b d H W] of the exemplar."""
        return HardMatch(_unit(query), _unit(key))


def _unit(x: Tensor) -> Tensor:
    precise = x.to(torch.promote_types(x.dtype, torch.float32))
    precise = torch.where(precise.isfinite().all(1, keepdim=True), precise, 0)
    return torch.nn.functional.normalize(precise, dim=1)


@dataclass(frozen=True)
class Shades:
    """A condition of one channel: how dark a picture is."""

    channels: int = 1

    def drawing(self, picture: Tensor, size: tuple[int, int]) -> Tensor:
        """The map [b 1 y x] of a picture [b 3 Y X] in [-1, 1], brought to a size."""
        return torch.nn.functional.interpolate(self.photo(picture), size, mode="area")

    def photo(self, image: Tensor) -> Tensor:
        """The map [b 1 Y X] of a photo [b 3 Y X] in [-1, 1]."""
        return (0.5 - image.mean(1, keepdim=True) / 2).clamp(0, 1)
