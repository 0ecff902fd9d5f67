"""Numbers of more than 8 bits: the levels that they mean, and whether the highest bits are used at all."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from PIL import Image

from midms.images.arrays import in_strips
from midms.images.colours import grey_curve, profile_of
from midms.images.errors import PictureError

_MOST = 2**16 - 1
_FAINT = 2**14
"""Numbers of 16 bits that are all smaller are a quarter of white at most: those of cameras and scanners of 14 bits."""
_TWELVE_BITS, _PHOTOMETRIC = "I;12", 262
"""Of a TIFF: how 12 bits are stored, and the tag that says whether 0 is white, which Pillow heeds up to 8 bits."""
_ROWS = 256
"""That are read at once."""


def deep_levels(image: Image.Image, name: str, stored: tuple[Any, ...]) -> np.ndarray:
    """[Y X] in [0, 1], or as they are in mode F; [Y X 2] with what is transparent.

    Args:
        image: of mode I, F or one of 16 bits, loaded.
        name: what errors call it.
        stored: how its file has its pixels, by Pillow's name, and what goes with it.

    Raises:
        PictureError: a number is none of 16 bits.
    """
    curve = None if image.mode == "F" else grey_curve(profile_of(image))
    low, high = (0, _MOST) if image.mode != "I" else cast(tuple[int, int], image.getextrema())
    if low < 0 or high > _MOST:
        raise PictureError(f"{name}: holds numbers from {low} to {high}, expected 0 to {_MOST}")
    white = _white(image, stored, high)
    inverted = _inverted(image)
    key = image.info.get("transparency")

    def strip(top: int, end: int) -> np.ndarray:
        numbers = np.asarray(image.crop((0, top, image.width, end)))
        levels = numbers if image.mode == "F" else numbers.astype(np.float32) / np.float32(white)
        levels = 1 - levels if inverted else levels
        levels = levels if curve is None else np.interp(levels, np.linspace(0, 1, len(curve)), curve)
        return levels if key is None else np.stack([levels, numbers != key], -1)

    return in_strips(strip, (image.height, image.width))


def faint_picture(image: Image.Image, stored: tuple[Any, ...]) -> tuple[str, ...]:
    """What `faint` says of a picture whose numbers are of 16 bits; arguments as of `deep_levels`, in any mode."""
    if image.mode in ("I", "I;16", "I;16L", "I;16B"):
        strips = (image.crop((0, top, image.width, top + _ROWS)) for top in range(0, image.height, _ROWS))
        greatest = max(int(np.asarray(strip).max()) for strip in strips)
        counted = _white(image, stored, greatest) == _MOST
        return faint(greatest, _inverted(image)) if counted and _goes_to_most(image, stored) else ()
    if image.mode not in ("L", "LA", "RGB", "RGBA") or not _goes_to_most(image, stored):
        return ()
    bands = (image.getchannel(band) for band in image.getbands() if band != "A")
    level = max(cast(tuple[int, int], band.getextrema())[1] for band in bands)
    return faint(round(257 * (level - 0.5)) if image.format == "PPM" else level << 8 | 255)  # rounded, or cut off


def faint(greatest: int, inverted: bool = False) -> tuple[str, ...]:
    """A line if the numbers of a picture of 16 bits are so small that it is nearly of one colour.

    Args:
        greatest: number.
        inverted: whether 0 is white.
    """
    if greatest >= _FAINT:
        return ()
    bits, ends = max(8, greatest.bit_length()), ("white", "black") if inverted else ("black", "white")
    return (
        f"its numbers stay within {bits} of 16 bits, so that it is nearly {ends[0]}; if {2**bits - 1} was meant to be"
        f" {ends[1]}, multiply them by {2 ** (16 - bits)}",
    )


def _white(image: Image.Image, stored: tuple[Any, ...], high: int) -> int:
    if image.mode == "I" and high <= 255 and image.format != "PPM":
        return 255
    return 4095 if _TWELVE_BITS in stored else _MOST


def _inverted(image: Image.Image) -> bool:
    return getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0


def _goes_to_most(image: Image.Image, stored: tuple[Any, ...]) -> bool:
    """Whether the numbers in a picture's file go to 65535: Pillow has others that are scaled."""
    sixteen = ";16" in str(stored[:1])
    return sixteen or (stored[1:] == (_MOST,) if image.format == "PPM" else image.mode[0] == "I")
