"""The one road from anything array-like to numbers, for pictures, label maps, masks and keypoints."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from torch import Tensor

from midms.images.errors import PictureError, one_line

_LARGEST = 4096
"""Most pixels a side; bigger pictures are reduced on reading."""
_STRIP = 2**21
"""Pixels that are converted at a time."""
OFFERS = ("__array__", "__array_interface__")
"""How other libraries' arrays and tables say that numpy can read them."""


def is_array(source: object) -> bool:
    """Whether this is meant as an array: numpy's, a tensor, nested lists, or what numpy can read as one."""
    return isinstance(source, Tensor | np.ndarray | memoryview | list | tuple) or any(
        hasattr(type(source), offer) for offer in OFFERS
    )


def to_array(source: object, name: str) -> np.ndarray:
    """The numbers as numpy has them: on the CPU, in this machine's byte order, row after row.

    They may share memory with the source, which may be read-only. Python's own numbers in an array of objects are taken
    as numbers; what is masked, or None, is NaN.

    Args:
        source: for which `is_array` holds.
        name: what errors call it.

    Raises:
        PictureError: it cannot be read as an array, or holds something else than whole or floating numbers.
    """
    try:
        array = _native(source)
    except Exception as error:  # other libraries raise whatever they like
        raise PictureError(f"{name}: cannot be read as an array of numbers ({one_line(error)})") from None
    if array.dtype.kind not in "biuf":
        raise PictureError(f"{name}: expected numbers, got {'text' if array.dtype.kind in 'US' else array.dtype}")
    return array


def _native(source: object) -> np.ndarray:
    if isinstance(source, Tensor):
        narrow = source.is_floating_point() and source.dtype.itemsize < 4  # some of which numpy does not know
        source = (source.float() if narrow else source).to_dense().numpy(force=True)
    elif np.ma.is_masked(source):
        source = np.ma.filled(np.ma.asarray(source).astype(np.float64), np.nan)
    array = np.asarray(source)
    if array.dtype == object:
        array = np.array(array.tolist())
    if array.dtype == object:
        array = array.astype(np.float64)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def came_as(source: object, array: np.ndarray) -> str:
    """Type and shape of what was handed in, for errors, where it is known better than what was made of it.

    Args:
        source: what was handed in.
        array: what `to_array` made of it.
    """
    own = getattr(source, "dtype", "object")
    masked = ", some of them masked," if np.ma.is_masked(source) else ""
    return f"{array.dtype if str(own) == 'object' else own}{masked} {list(array.shape)}"


def excess(height: int, width: int) -> int:
    """By how much a picture must be reduced for its sides to be `_LARGEST` at most."""
    return math.ceil(max(height, width) / _LARGEST)


def in_strips(strip: Callable[[int, int], np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """A picture [Y X ...] in float32, made and reduced strip by strip, so that it never is in memory in full.

    Args:
        strip: from the first row and that after the last to these rows.
        shape: height and width of the whole.
    """
    height, width = shape
    factor = excess(height, width)
    rows = factor * max(1, _STRIP // (factor * width))
    reduced: np.ndarray | None = None
    for top in range(0, height, rows):
        part = _reduced(strip(top, min(top + rows, height)), factor)
        if reduced is None:
            reduced = np.empty((math.ceil(height / factor), *part.shape[1:]), np.float32)
        reduced[top // factor : top // factor + len(part)] = part
    assert reduced is not None
    return reduced


def _reduced(array: np.ndarray, factor: int) -> np.ndarray:
    """Means of squares, which are cut off at the borders."""
    for axis in (0, 1) if factor > 1 else ():
        starts = np.arange(0, array.shape[axis], factor)
        counts = np.diff([*starts, array.shape[axis]]).reshape(-1, *[1] * (array.ndim - 1 - axis))
        array = np.add.reduceat(array, starts, axis) / counts
    return array
