"""Data sets that obey laws, or break one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch

from midms.data.pair import Pair
from midms.data.portraits.dataset import Portraits

PORTRAITS = [Portraits("validation")[index] for index in range(3)]


class Pairs:
    """A few portraits, changed."""

    def __init__(self, change: Callable[[Pair, int], Pair] | None = None, count: int = 3, more: object = None) -> None:
        self.change, self.count, self.more = change, count, more

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Pair:
        if index >= 3:
            raise IndexError(index)
        return self.change(PORTRAITS[index], index) if self.change else PORTRAITS[index]

    def cached(self, folder: Path, most: int | None = None) -> Pairs:
        return self


class Forgetful(Pairs):
    """Makes other pairs each time that it is kept."""

    def cached(self, folder: Path, most: int | None = None) -> Pairs:
        gain = float(torch.rand(()))
        return Pairs(lambda p, i: dataclasses.replace(p, target=gain * p.target))


class Restless(Pairs):
    """Draws versions whose exemplar nothing tells."""

    def draw(self, index: int, generator: torch.Generator) -> Pair:
        return dataclasses.replace(self[index], exemplar=torch.rand_like(self[index].exemplar))
