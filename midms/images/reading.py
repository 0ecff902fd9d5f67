"""Whatever a person calls a picture, to a tensor in [-1, 1]. Nothing else reads picture files."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from midms.images.arrays import excess, in_strips, is_array, to_array
from midms.images.decoding import decode, doubts, opened, reduction
from midms.images.deep import faint
from midms.images.errors import PictureError, check_shape


@dataclass(frozen=True, eq=False)
class Pixels:
    """A picture that was read, and may be used as often as one likes.

    Attributes:
        array: [Y X] or [Y X 1..4].
        factor: how many of the picture's own pixels one of these will be wide and high, once it is reduced.
        name: what errors call it.
        warnings: what may be wrong with its levels, a line each.
    """

    array: np.ndarray
    factor: int
    name: str
    warnings: tuple[str, ...] = ()


Picture: TypeAlias = str | os.PathLike[str] | Image.Image | Pixels | np.ndarray | Tensor | Sequence[Any]
"""A path, a PIL image, what `read_pixels` gave, an array [Y X] or [Y X 1..4] or what numpy reads as one, a tensor
[Y X], [1..4 Y X] or [1 1..4 Y X]; see `arrays`.

Integers span their type (8 or 16 bits); floats are in [0, 1], or in [-1, 1] if any is negative by more than rounding.
"""
_LOG = logging.getLogger(__name__)
_LOGGED: set[str] = set()
"""What was logged of pictures in this process."""
_ROUNDING = 0.5 / 255
"""By how much a float may be negative and still be 0: half a step of 8 bits."""

NEARLY_WHITE = 0.75
"""Mean lightness of the opaque part from which a mostly transparent picture is laid on black."""


def read_image(picture: object, name: str = "picture") -> Float[Tensor, "1 3 Y X"]:
    """The picture upright, in RGB, opaque, in [-1, 1]; of a moving one, the first frame.

    Colours are taken as their ICC profile means them and become sRGB; orientation is heeded. Other notes are not, such
    as gAMA, cHRM and cICP of a PNG or the primaries of an AVIF without a profile. Numbers of 16 bits are taken as they
    are, however small; such are logged, once for all that are alike, and `read_pixels` tells of each.
    Transparent pictures are laid on white, or on black if most of the picture is transparent and the rest nearly
    white.

    Args:
        picture: a `Picture`; anything else is refused.
        name: what errors call a picture that has no path.

    Raises:
        PictureError: it is missing, damaged, too small, too narrow, not finite, or no picture at all.
    """
    found = read_reduced(picture, name)
    for text in found.warnings:
        if text not in _LOGGED:
            _LOGGED.add(text)
            _LOG.warning("%s, and others that are alike: %s", display_name(picture, name), text)
    return found.picture


def display_name(picture: object, name: str) -> str:
    """What errors call a picture: its path, if it has one or was read from one, else `name`."""
    if isinstance(picture, Pixels):
        return picture.name
    return os.fspath(picture) if isinstance(picture, str | os.PathLike) else name


def read_pixels(picture: object, name: str = "picture") -> Pixels:
    """A picture's pixels, of which `read_image` makes a tensor without reading anything again.

    Args:
        picture: as of `read_image`.
        name: as of `read_image`.

    Raises:
        PictureError: it is missing, damaged, too small, too narrow, or no picture at all.
    """
    if isinstance(picture, Pixels):
        return picture
    name = display_name(picture, name)
    if isinstance(picture, str | os.PathLike):
        picture = opened(Path(picture))
    if isinstance(picture, Image.Image):
        return Pixels(decode(picture, name), reduction(picture), name, doubts(picture))
    if is_array(picture):
        array = to_array(picture, name)
        array = _channels_last(array, name) if isinstance(picture, Tensor) else array
        planes = _planes(array, name)
        return Pixels(planes, excess(planes.shape[0], planes.shape[1]), name, _doubts(planes))
    raise PictureError(f"{name}: expected a path, a PIL image, an array or a tensor, got {type(picture).__name__}")


class Read(NamedTuple):
    """A picture as a tensor, and what else is known of it.

    Attributes:
        picture: what `read_image` gives.
        factor: how many of the picture's own pixels one of it is wide and high.
        warnings: what may be wrong with its levels, a line each.
    """

    picture: Float[Tensor, "1 3 Y X"]
    factor: int
    warnings: tuple[str, ...]


def read_reduced(picture: object, name: str) -> Read:
    """Read a picture; arguments and errors as of `read_image`."""
    pixels = read_pixels(picture, name)
    return Read(_rgb(pixels.array, pixels.name), pixels.factor, pixels.warnings)


def _channels_last(tensor: np.ndarray, name: str) -> np.ndarray:
    planes = tensor[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor
    if planes.ndim not in (2, 3):
        raise PictureError(f"{name}: expected a tensor [Y X], [1..4 Y X] or [1 1..4 Y X], got {list(tensor.shape)}")
    return planes if planes.ndim == 2 else np.moveaxis(planes, 0, -1)


def _planes(array: np.ndarray, name: str) -> np.ndarray:
    """[Y X 1..4], of a size that can be matched."""
    planes = array[..., None] if array.ndim == 2 else array
    if planes.ndim != 3 or planes.shape[-1] not in (1, 2, 3, 4):
        raise PictureError(f"{name}: expected 1 to 4 channels of height and width, got the shape {list(array.shape)}")
    check_shape(planes.shape[0], planes.shape[1], name)
    return planes


def _doubts(planes: np.ndarray) -> tuple[str, ...]:
    """What may be wrong with the levels of an array [Y X 1..4]."""
    if planes.dtype != np.uint16:
        return ()
    colours = planes[..., :-1] if planes.shape[-1] in (2, 4) else planes
    return faint(int(colours.max()))


def _rgb(array: np.ndarray, name: str) -> Float[Tensor, "1 3 Y X"]:
    planes = _planes(array, name)
    colour = _scaled(planes, name)
    if planes.shape[-1] in (2, 4):
        colour, alpha = colour[..., :-1], colour[..., -1:]
        colour = colour * alpha
        colour += _backdrop(colour, alpha) * (1 - alpha)
    colour = np.repeat(colour, 3 // colour.shape[-1], -1)
    return torch.from_numpy(colour).permute(2, 0, 1)[None].mul_(2).sub_(1)


def _scaled(array: np.ndarray, name: str) -> np.ndarray:
    """The array's values as float32 in [0, 1], reduced to what is read of large pictures."""
    scale = _scale(array, name)
    return in_strips(lambda top, end: scale(array[top:end]), (array.shape[0], array.shape[1]))


def _scale(array: np.ndarray, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """How parts of the array become float32 in [0, 1]."""
    if array.dtype == bool:
        return lambda part: part.astype(np.float32)
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        return lambda part: part.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
    low, high = float(array.min()), float(array.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise PictureError(f"{name}: holds values that are not finite")
    if array.dtype.kind in "iu":
        if low < 0 or high > 255:
            raise PictureError(f"{name}: integers must be in 0..255, or uint16, got {low:.0f} to {high:.0f}")
        return lambda part: part.astype(np.float32) / np.float32(255)
    if low < -1.1 or high > 1.1:
        raise PictureError(f"{name}: floats must be in [0, 1] or [-1, 1], got {low:.3g} to {high:.3g}")
    if low < -_ROUNDING:
        return lambda part: ((part.astype(np.float32) + 1) / 2).clip(0, 1)
    return lambda part: part.astype(np.float32).clip(0, 1)


def _backdrop(visible_colour: np.ndarray, alpha: np.ndarray) -> float:
    """1 for white, 0 for black; the colour is already multiplied by alpha."""
    visible = float(alpha.mean())
    lightness = float(visible_colour.mean()) / max(visible, 1e-6)
    return 0.0 if visible < 0.5 and lightness > NEARLY_WHITE else 1.0


def native_size(shape: tuple[int, int], size: int, multiple: int) -> tuple[int, int]:
    """Height and width in the proportions of `shape`, the shorter nearest `size`, both multiples of `multiple`."""
    height, width = shape
    scale = size / min(height, width) / multiple
    return max(1, round(height * scale)) * multiple, max(1, round(width * scale)) * multiple


def resize(image: Float[Tensor, "b c Y X"], size: tuple[int, int]) -> Float[Tensor, "b c y x"]:
    """To `size` (height, width), averaging over the area of each new pixel."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return F.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)
