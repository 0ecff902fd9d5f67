"""Whatever a person calls a picture, to a tensor in [-1, 1]. Nothing else reads picture files."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from midms.pictures.arrays import is_array, to_array
from midms.pictures.problems import PictureError, called, check_shape, one_line

Picture: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray | Tensor | Sequence[Any]
"""A path, a PIL image, an array [Y X] or [Y X 1..4] or what numpy reads as one, a tensor [Y X], [1..4 Y X] or
[1 1..4 Y X]; see `arrays`.

Integers span their type (8 or 16 bits); floats are in [0, 1], or in [-1, 1] if any is negative.
"""

LARGEST = 4096
"""Most pixels a side; bigger pictures are reduced on reading."""
NEARLY_WHITE = 0.75
"""Mean lightness of the opaque part from which a mostly transparent picture is laid on black."""


def read(picture: object, name: str = "picture") -> Float[Tensor, "1 3 Y X"]:
    """The picture upright, in RGB, opaque, in [-1, 1]; of a moving one, the first frame.

    Transparent pictures are laid on white, or on black if most of the picture is transparent and the rest nearly
    white.

    Args:
        picture: a `Picture`; anything else is refused.
        name: what errors call a picture that has no path.

    Raises:
        PictureError: it is missing, damaged, too small, too narrow, not finite, or no picture at all.
    """
    name = called(picture, name)
    if isinstance(picture, str | os.PathLike):
        with opened(Path(picture)) as image:
            return _rgb(_array(image, name), name)
    if isinstance(picture, Image.Image):
        return _rgb(_array(picture, name), name)
    if isinstance(picture, Tensor):
        return _rgb(_channels_last(to_array(picture, name), name), name)
    if is_array(picture):
        return _rgb(to_array(picture, name), name)
    raise PictureError(f"{name}: expected a path, a PIL image, an array or a tensor, got {type(picture).__name__}")


def opened(path: Path) -> Image.Image:
    """A picture file whose header has been read.

    Raises:
        PictureError: there is none, it is no picture, or it is too large to be safe.
    """
    if not path.exists():
        raise PictureError(f"{path}: no such file")
    if not path.is_file():
        raise PictureError(f"{path}: not a file, expected a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(path)
    except UnidentifiedImageError:
        raise PictureError(f"{path}: not a picture of a known format") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise PictureError(f"{path}: has more than {limit} million pixels, which is refused as unsafe") from None
    except OSError as error:
        raise PictureError(f"{path}: cannot be opened ({error.strerror or error})") from None


def _array(image: Image.Image, name: str) -> np.ndarray:
    """[Y X] of the modes with more than 8 bits, [Y X 3] or [Y X 4] of all others, upright."""
    check_shape(image.height, image.width, name)
    try:
        upright = ImageOps.exif_transpose(image)
        upright.load()
    except Exception as error:  # decoders of damaged files raise whatever they like
        raise PictureError(f"{name}: damaged picture ({one_line(error)})") from None
    if upright.mode.startswith("I;16") or upright.mode == "F":
        return np.asarray(upright)
    if upright.mode == "I":
        return np.asarray(upright).clip(0, 65535).astype(np.uint16)
    try:
        colours = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    except ValueError:
        raise PictureError(f"{name}: pictures of mode {upright.mode} are not supported, save it as RGB") from None
    return np.asarray(colours.reduce(math.ceil(max(colours.size) / LARGEST)))


def _channels_last(tensor: np.ndarray, name: str) -> np.ndarray:
    planes = tensor[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor
    if planes.ndim not in (2, 3):
        raise PictureError(f"{name}: expected a tensor [Y X], [1..4 Y X] or [1 1..4 Y X], got {list(tensor.shape)}")
    return planes if planes.ndim == 2 else np.moveaxis(planes, 0, -1)


def _rgb(array: np.ndarray, name: str) -> Float[Tensor, "1 3 Y X"]:
    planes = array[..., None] if array.ndim == 2 else array
    if planes.ndim != 3 or planes.shape[-1] not in (1, 2, 3, 4):
        raise PictureError(f"{name}: expected 1 to 4 channels of height and width, got the shape {list(array.shape)}")
    check_shape(planes.shape[0], planes.shape[1], name)
    unit = _unit(planes, name)
    colour, alpha = (unit[..., :-1], unit[..., -1:]) if planes.shape[-1] in (2, 4) else (unit, None)
    if alpha is not None:
        colour = colour * alpha + _backdrop(colour, alpha) * (1 - alpha)
    colour = np.array(np.broadcast_to(colour, (*colour.shape[:2], 3)))
    return torch.from_numpy(colour).permute(2, 0, 1)[None] * 2 - 1


def _unit(array: np.ndarray, name: str) -> np.ndarray:
    """The array's values as float32 in [0, 1]."""
    if array.dtype == bool:
        return array.astype(np.float32)
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        return array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
    low, high = float(array.min()), float(array.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise PictureError(f"{name}: holds values that are not finite")
    if array.dtype.kind in "iu":
        if low < 0 or high > 255:
            raise PictureError(f"{name}: integers must be in 0..255, or uint16, got {low:.0f} to {high:.0f}")
        return array.astype(np.float32) / np.float32(255)
    if low < -1.1 or high > 1.1:
        raise PictureError(f"{name}: floats must be in [0, 1] or [-1, 1], got {low:.3g} to {high:.3g}")
    values = array.astype(np.float32)
    return ((values + 1) / 2 if low < 0 else values).clip(0, 1)


def _backdrop(colour: np.ndarray, alpha: np.ndarray) -> float:
    """1 for white, 0 for black."""
    visible = float(alpha.mean())
    lightness = float((colour * alpha).mean()) / max(visible, 1e-6)
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
