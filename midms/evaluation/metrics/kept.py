"""A fair choice of a bounded number of pictures from a stream, whatever their order."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Sequence

import torch
from torch import Tensor


def draw_number(key: str, seed: int = 0) -> int:
    """63 bits that follow from a key alone, for generators and choices."""
    return int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:8], "big") >> 1


class Kept:
    """The tensors of those keys whose numbers are least, in the order of these: the same whatever came first.

    Args:
        most: how many are kept.
        seed: another chooses others.
    """

    def __init__(self, most: int, seed: int = 0) -> None:
        self.most, self.seed = most, seed
        self._heap: list[tuple[int, str, Tensor]] = []

    def wants(self, key: str) -> bool:
        """Whether it would be kept by now."""
        return len(self._heap) < self.most or -draw_number(key, self.seed) > self._heap[0][0]

    def add(self, keys: Sequence[str], rows: Tensor | Sequence[Tensor]) -> None:
        """One row a key; what is kept is a copy."""
        for key, row in zip(keys, rows, strict=True):
            if self.wants(key):
                entry = (-draw_number(key, self.seed), key, row.detach().clone())
                (heapq.heappush if len(self._heap) < self.most else heapq.heappushpop)(self._heap, entry)

    def __len__(self) -> int:
        return len(self._heap)

    def rows(self, count: int | None = None) -> Tensor:
        """All that is kept, or the first so many, one on the other."""
        chosen = sorted(self._heap, key=lambda entry: (-entry[0], entry[1]))[:count]
        return torch.stack([row for _, _, row in chosen])
