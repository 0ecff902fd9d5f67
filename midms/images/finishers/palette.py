"""The flat colours of pictures, which results then have too, the same in all drawings of a series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.images.finishers.evidence import commonest
from midms.images.reading import resize

Colour = tuple[float, float, float]
"""Red, green and blue in [-1, 1]."""
_SIDE = 256
"""Pixels of the longer side at which colours are counted."""
_EVEN = 0.08
"""How far the pixels around one may be from it, in any channel, where a colour is flat."""
_APART = 0.1
"""How far colours are apart that are two, in any channel."""
_LEAST = 0.002
"""Share of a picture from which a colour is one of its own."""
_MOST = 64
"""Colours of a picture."""
_NEAR = 0.5
"""How far a colour may be from the one of a palette that it becomes, in any channel."""


def flat_colours(pictures: Sequence[Float[Tensor, "1 3 _ _"]]) -> tuple[Colour, ...]:
    """The colours that areas of pictures in [-1, 1] have, of each picture the commonest first, none of them twice."""
    found: list[Colour] = []
    for picture in pictures:
        for colour in _of_one(picture):
            if not any(max(abs(a - b) for a, b in zip(colour, other, strict=True)) < _APART for other in found):
                found.append(colour)
    return tuple(found)


def nearest_colours(colours: Float[np.ndarray, "n 3"], palette: Sequence[Colour]) -> Float[np.ndarray, "n 3"]:
    """Each colour as the nearest of a palette, all in [-1, 1]; where none is within `_NEAR`, as it is."""
    nearest, least = colours, np.full((len(colours), 1), _NEAR, np.float32)
    for one in np.array(palette, np.float32).reshape(-1, 3):
        away = np.abs(colours - one).max(1, keepdims=True)
        nearest, least = np.where(away < least, one, nearest), np.minimum(away, least)
    return nearest


def _of_one(picture: Float[Tensor, "1 3 Y X"]) -> list[Colour]:
    height, width = picture.shape[-2:]
    share = min(1.0, _SIDE / max(height, width))
    small = resize(picture.float().cpu(), (max(1, round(share * height)), max(1, round(share * width))))
    around = F.pad(small, (1, 1, 1, 1), mode="replicate")
    spread = F.max_pool2d(around, 3, 1) + F.max_pool2d(-around, 3, 1)
    left = small[0].permute(1, 2, 0)[spread[0].amax(0) < 2 * _EVEN].numpy()
    least, colours = _LEAST * small[0, 0].numel(), list[Colour]()
    while len(left) >= least and len(colours) < _MOST:
        mode = commonest(np.zeros(len(left), np.int64), left, 1, _APART / 2).colour[0]
        near = (np.abs(left - mode) < _APART).all(1)
        if near.sum() >= least:
            red, green, blue = mode.tolist()
            colours.append((red, green, blue))
        if not near.any():
            break
        left = left[~near]
    return colours
