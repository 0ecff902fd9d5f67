"""Pictures of latents, made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import torch
from PIL import Image
from torch import Tensor

from midms.images import to_pil


class Decoded(Sequence[Image.Image]):
    """Pictures that are decoded when they are looked at.

    Args:
        latents: one a picture.
        decode: from a latent to a picture.

    Attributes:
        latents: the same.
    """

    def __init__(self, latents: Sequence[Tensor], decode: Callable[[Tensor], Tensor]) -> None:
        self.latents, self._decode = latents, decode

    def __len__(self) -> int:
        return len(self.latents)

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...
    @overload
    def __getitem__(self, index: slice) -> Decoded: ...
    def __getitem__(self, index: int | slice) -> Image.Image | Decoded:
        """A picture, or some of them."""
        if isinstance(index, slice):
            return Decoded(self.latents[index], self._decode)
        with torch.no_grad():
            return to_pil(self._decode(self.latents[index]))
