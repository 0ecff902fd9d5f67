"""A drawing as layers, which take any colours: what has a colour of its own, and a mask for each that is left open."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor


@dataclass(frozen=True)
class ColourLayers:
    """A drawing is linear in its colours: the base, and for each slot a mask times the slot's colour.

    Attributes:
        base: the drawing with all slots black.
        masks: how much of a slot's colour each pixel shows, 0 to 255.
    """

    base: UInt8[Tensor, "3 y x"]
    masks: UInt8[Tensor, "n y x"]

    def coloured(self, colours: Float[Tensor, "n 3"]) -> Float[Tensor, "1 3 y x"]:
        """The picture in [-1, 1] with these colours.

        Args:
            colours: of the slots, in [0, 1].
        """
        drawn = self.base / 255 + torch.einsum("nyx,nc->cyx", self.masks / 255, colours)
        return (2 * drawn - 1).clamp_(-1, 1)[None]


class ByteCache:
    """What was made last, up to a number of bytes; another process that gets it begins with none.

    Args:
        most: bytes that are kept.
    """

    def __init__(self, most: int) -> None:
        self.most, self.bytes = most, 0
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """What is kept under a key, or else is made."""
        if (found := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return found
        made = self._kept[key] = make()
        self.bytes += len(made)
        while self.bytes > self.most:
            self.bytes -= len(self._kept.popitem(last=False)[1])
        return made

    def __reduce__(self) -> tuple[type[ByteCache], tuple[int]]:
        return ByteCache, (self.most,)
