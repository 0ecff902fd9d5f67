"""A matcher from somebody else: every cell takes from the one that is most like it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class HardMatch:
    """The best column of each row."""

    query: Tensor
    key: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        return self.query.shape[2], self.query.shape[3]

    def _best(self) -> tuple[Tensor, Tensor]:
        return torch.einsum("bdi,bdj->bij", self.query.flatten(2), self.key.flatten(2)).max(-1)

    def apply(self, values: Tensor) -> Tensor:
        best = self._best()[1][:, None].expand(-1, values.shape[1], -1)
        return values.expand(len(self.key), -1, -1, -1).flatten(2).gather(2, best).unflatten(2, self.grid)

    def transpose(self) -> HardMatch:
        return HardMatch(self.key, self.query)

    def similarity(self) -> Tensor:
        return self._best()[0].unflatten(1, self.grid)[:, None]


@dataclass(frozen=True)
class Nearest:
    """Nearest neighbours by cosine similarity."""

    def __call__(self, query: Tensor, key: Tensor) -> HardMatch:
        return HardMatch(torch.nn.functional.normalize(query), torch.nn.functional.normalize(key))
