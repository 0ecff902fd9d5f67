"""Files that visitors hand in: within limits, read at once, removed."""

from __future__ import annotations

import io
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from midms.core.files import read_regular
from midms.images import PictureError, Pixels, read_pixels
from midms.images.decoding import from_bytes

BYTES, MEGAPIXELS = 20 * 2**20, 24
"""Of the largest file, and of the largest picture, that are taken."""


def read_upload(path: Path) -> Pixels:
    """The picture of a file, which is removed.

    Raises:
        PictureError: it is no picture, or larger than is taken.
    """
    try:
        content = read_regular(path, BYTES)
    except OSError as error:
        raise PictureError(f"{path.name}: {error.strerror or error}") from None
    finally:
        path.unlink(missing_ok=True)
    width, height = _size(content)
    if width * height > MEGAPIXELS * 10**6:
        megapixels = width * height / 10**6
        raise PictureError(f"{path.name}: has {megapixels:.0f} megapixels, expected at most {MEGAPIXELS}")
    return read_pixels(from_bytes(content, path.name), path.name)


def _size(content: bytes) -> tuple[int, int]:
    """Width and height by a picture's header; nothing of what has none that tells."""
    with warnings.catch_warnings(), suppress(Exception):  # decoders raise whatever they like, and say why later
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    return 0, 0


def drawn(opened: Pixels | None, layers: list[Image.Image], composite: Image.Image | None) -> Pixels | None:
    """What a pad shows: the file that was opened in it, or a person's strokes, which may be on it.

    Args:
        opened: the file; None where none was.
        layers: of strokes, with transparency.
        composite: all of it.
    """
    strokes = any(np.asarray(layer.convert("RGBA"))[..., 3].any() for layer in layers)
    if not strokes or composite is None:
        return opened
    return read_pixels(composite, "the drawing")
