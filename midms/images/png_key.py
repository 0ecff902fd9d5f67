"""The colour that stands for transparent in a PNG that has not 8 bits, where Pillow compares other numbers."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
from PIL import Image, ImageChops

_LEVELS = {"L;2": 85, "L;4": 17, "RGB;16B": 1 / 256}
"""Levels of grey or colour that Pillow makes of one of a PNG's, but not of the one that stands for transparent."""
_STRIP = 256
"""Rows that are compared at once."""


def is_deep(image: Image.Image, stored: tuple[Any, ...]) -> bool:
    """Whether it is a PNG in which a colour of 16 bits stands for transparent, of which Pillow keeps 8.

    Args:
        image: opened.
        stored: how its file has its pixels, by Pillow's name, and what goes with it.
    """
    return image.format == "PNG" and stored[:1] == ("RGB;16B",) and "transparency" in image.info


def low_bytes(content: bytes) -> Image.Image:
    """Of a PNG file with colours of 16 bits the low byte of each number, where Pillow gives the high one."""
    image = Image.open(io.BytesIO(content), formats=["PNG"])
    image.tile = [(*tile[:3], "RGB;16L") for tile in image.tile]  # type: ignore[attr-defined, misc]
    image.load()
    return image


def with_key(image: Image.Image, stored: tuple[Any, ...], low: Image.Image | None) -> Image.Image:
    """The picture with the transparency that its file means.

    Args:
        image: loaded.
        stored: as of `is_deep`.
        low: its low bytes if it is deep; None where they cannot be had, and the high ones are compared alone.
    """
    if image.format != "PNG" or not stored[:1] or stored[0] not in _LEVELS or "transparency" not in image.info:
        return image
    image, key = image.copy(), np.array(image.info["transparency"])
    if low is None:
        levels = np.multiply(key, _LEVELS[stored[0]]).astype(int)
        image.info["transparency"] = tuple(levels.tolist()) if levels.ndim else int(levels)
        return image
    alpha, parts = Image.new("L", image.size), (*(key >> 8).tolist(), *(key & 255).tolist())
    for top in range(0, image.height, _STRIP):
        box = 0, top, image.width, min(top + _STRIP, image.height)
        bands = zip((*image.crop(box).split(), *low.crop(box).split()), parts, strict=True)
        others = (band.point([255 * (level != part) for level in range(256)]) for band, part in bands)
        alpha.paste(functools.reduce(ImageChops.lighter, others), box)
    image.putalpha(alpha)
    return image
