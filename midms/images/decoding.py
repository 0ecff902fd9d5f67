"""Picture files and PIL images to arrays: in bounded memory, upright, in sRGB, whatever their notes say."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from midms.core.files import read_regular
from midms.images.arrays import excess
from midms.images.bare import JPEG, ORIENTATION, bare, completed, orientation_of, profile
from midms.images.colours import in_srgb, profile_of
from midms.images.deep import deep_levels, faint_picture
from midms.images.errors import PictureError, check_shape, one_line
from midms.images.png_key import is_deep, low_bytes, with_key

FILE = 2**28
"""Bytes of the largest file that is read."""
MEMORY = 2**30
"""Bytes that decoding may take."""
_NEEDS = {"JPEG": 4, "WEBP": 16, "JPEG2000": 20, "AVIF": 12}
"""Bytes that Pillow's decoders take a pixel, at most; a JPEG is read at a fraction of its size."""
OTHERS = 8
"""The same for other formats, and for a JPEG that is progressive."""
PROGRAMS = ("EPS",)
"""Formats that another program would have to run."""
_KEPT = ("L", "LA", "RGB", "RGBA", "CMYK")
"""Modes of 8 bits whose channels can be averaged as they are."""
DRAFTED = "midms drafted"
"""Where a picture that was opened tells by how much it was reduced in decoding."""
_LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF", "HEIF")
"""Formats that change pixels, or may."""
_COMPRESSIONS = ("jpeg", "tiff_jpeg", "webp")
"""Of a TIFF, likewise."""
_LOSSLESS_WEBP = b"VP8L"
"""The kind of WebP that keeps pixels, as it is called in the file."""
_COMPRESSED = "midms lossy"
"""Where a WebP that was opened here tells whether its file keeps pixels only nearly."""
_STORED = "midms stored"
"""Where a picture that was opened tells how its file has its pixels."""
_LOW = "midms low bytes"
"""Where a picture whose file has colours of 16 bits keeps the low bytes, if it needs them."""
_RESCALED = ("L;2", "L;4", "L;2I", "L;4I", "RGB;16B", "RGB;16L", "RGB;16N")
"""Of pixels whose numbers Pillow does not leave as they are."""
TURNED = {
    2: (False, 1, -1), 3: (False, -1, -1), 4: (False, -1, 1),
    5: (True, 1, 1), 6: (True, 1, -1), 7: (True, -1, -1), 8: (True, -1, 1),
}  # fmt: skip
"""Of EXIF's orientations: whether rows are columns, then the directions of y and x."""


def opened(path: Path) -> Image.Image:
    """A picture file, with its pixels; of a JPEG beyond 4096 pixels a side a half, a quarter, an eighth.

    Notes beside the pixels that are broken are left out.

    Raises:
        PictureError: there is none, it is no picture, too large to be safe, too small, too narrow, or damaged.
    """
    name = str(path)
    try:
        content = read_regular(path, FILE)
    except FileNotFoundError:
        raise PictureError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        raise PictureError(f"{name}: cannot be opened ({getattr(error, 'strerror', None) or error})") from None
    return from_bytes(content, name)


def from_bytes(content: bytes, name: str) -> Image.Image:
    """What `opened` gives, of a file's bytes; `name` is what errors call it.

    Raises:
        PictureError: they are no picture, or one that is too large to be safe, too small, too narrow, or damaged.
    """
    with without_warnings():
        try:
            return _loaded(content, name)
        except PictureError:
            raise
        except Exception as error:  # decoders raise whatever they like
            return _loaded_without_notes(content, name, error)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Without Pillow's warnings, which are of what is not used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _loaded(content: bytes, name: str) -> Image.Image:
    Image.init()
    file = io.BytesIO(content)
    try:
        if content.startswith(JPEG):  # Pillow's bound on sizes is for what is read in full
            image: Image.Image = JpegImagePlugin.JpegImageFile(file)
        else:
            image = Image.open(file, formats=[known for known in Image.ID if known not in PROGRAMS])
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name}: has too many pixels to be read safely ({one_line(error)})") from None
    _check_size(image, name)
    factor = excess(image.height, image.width)
    width = image.width
    image.info[_STORED] = _stored(image)
    image.draft(None, (image.width // factor, image.height // factor))
    image.info[DRAFTED] = round(width / image.width)
    if image.format == "JPEG2000":
        image.info.setdefault("icc_profile", profile(content))
    if image.format == "WEBP":
        image.info[_COMPRESSED] = _LOSSLESS_WEBP not in content
    image.load()
    _check_size(image, name)  # some formats know only now
    if is_deep(image, image.info[_STORED]):
        image.info[_LOW] = low_bytes(content)
    return image


def _check_size(image: Image.Image, name: str) -> None:
    check_shape(image.height, image.width, name)
    need = OTHERS if image.info.get("progressive") else _NEEDS.get(image.format or "", OTHERS)
    need *= 1 + is_deep(image, _stored(image))  # whose low bytes are another picture
    if need * image.width * image.height > MEMORY:
        raise PictureError(
            f"{name}: has too many pixels to be read safely ({image.width} x {image.height}; "
            f"expected at most {MEMORY / need / 1e6:.0f} million)"
        )


def _loaded_without_notes(content: bytes, name: str, error: Exception) -> Image.Image:
    try:
        rest = bare(content)
        images = [] if rest is None else [_loaded(whole, name) for whole in completed(rest)]
    except Exception:  # the pixels are at fault
        images = []
    if images and all(image == images[0] for image in images):
        image = images[0]
        image.info.setdefault("icc_profile", profile(content))
        return image
    if isinstance(error, UnidentifiedImageError):
        raise PictureError(f"{name}: not a picture of a known format") from None
    raise PictureError(f"{name}: damaged picture ({one_line(error)})") from None


def decode(image: Image.Image, name: str) -> np.ndarray:
    """[Y X] or [Y X 2..4] as grey or RGB, with alpha last, at most 4096 a side.

    8 bits; of modes with more, floats in [0, 1] (those of mode F as they are). Numbers of 32 bits count to 255, or to
    65535 if any is greater; those of a PGM, to what its file says.

    Raises:
        PictureError: its pixels cannot be had.
    """
    check_shape(image.height, image.width, name)
    stored = _stored(image)
    try:
        with without_warnings():
            image.load()
            deep = image.mode[0] in "IF"
            return upright(deep_levels(image, name, stored) if deep else _shallow(image, stored), image)
    except PictureError:
        raise
    except Exception as error:  # decoders raise whatever they like
        reason = f"damaged picture, or one of a mode ({image.mode}) that is not supported"
        raise PictureError(f"{name}: {reason} ({one_line(error)})") from None


def _stored(image: Image.Image) -> tuple[Any, ...]:
    """How a file has its pixels, by Pillow's name, such as "L;4", and what goes with it; nothing where that is unknown.

    It is known of what was opened here, and of what was opened elsewhere until its pixels are loaded, or while its file
    is at its path.
    """
    tiles = getattr(image, "tile", ())
    if not tiles and _STORED not in image.info and (content := _file_of(image)):
        with suppress(Exception), Image.open(io.BytesIO(content)) as again:  # decoders raise whatever they like
            tiles = again.tile if (again.mode, again.size) == (image.mode, image.size) else ()  # type: ignore[attr-defined]
    found = image.info.get(_STORED) or (tiles[0][3] if tiles else ())
    return found if isinstance(found, tuple) else (found,)


def is_rescaled(image: Image.Image) -> bool:
    """Whether a picture's numbers are others than those in its file, such as 204 for a 12 of 4 bits."""
    stored = _stored(image)
    greatest = stored[1] if image.format == "PPM" and len(stored) > 1 else 255
    return stored[:1] != () and (stored[0] in _RESCALED or greatest not in (255, 65535))


def _shallow(image: Image.Image, stored: tuple[Any, ...]) -> np.ndarray:
    if image.mode == "La":
        image = image.convert("LA")
    image = with_key(image, stored, _low(image, stored))
    transparent = image.has_transparency_data
    if image.mode not in _KEPT or transparent != image.mode.endswith("A"):
        image = image.convert("L" if image.mode == "1" else "RGBA" if transparent else "RGB")
    colours = in_srgb(image.reduce(excess(image.height, image.width)), profile_of(image))
    return np.asarray(colours.convert("RGB") if colours.mode == "CMYK" else colours)


def _low(image: Image.Image, stored: tuple[Any, ...]) -> Image.Image | None:
    """Its low bytes, where they say what is transparent and the file is at hand."""
    if not is_deep(image, stored) or _LOW in image.info:
        return image.info.get(_LOW)
    with suppress(Exception):  # decoders raise whatever they like
        found = low_bytes(_file_of(image))
        return found if found.size == image.size else None
    return None


def doubts(image: Image.Image) -> tuple[str, ...]:
    """What may be wrong with the levels of a picture that was decoded, a line each."""
    return faint_picture(image, _stored(image))


def reduction(image: Image.Image) -> int:
    """How many pixels of its file, or else of its own, one of a picture's `decode` is wide and high."""
    return int(image.info.get(DRAFTED, 1)) * excess(image.height, image.width)


def is_lossy(image: Image.Image) -> bool:
    """Whether the file that a picture is from keeps its pixels only nearly, or may, as far as its format tells.

    Args:
        image: if it is a WebP that was opened elsewhere, its file must still be at hand to be known as lossless: at its
            path, or open, and then its pixels not loaded yet.
    """
    if image.format == "WEBP":
        return bool(image.info[_COMPRESSED]) if _COMPRESSED in image.info else _LOSSLESS_WEBP not in _file_of(image)
    return image.format in _LOSSY or image.info.get("compression") in _COMPRESSIONS


def _file_of(image: Image.Image) -> bytes:
    """What is in the file that somebody opened a picture from, or nothing where it is no longer at hand."""
    try:
        if path := getattr(image, "filename", ""):
            return read_regular(Path(path), FILE)
        image.fp.seek(0)  # type: ignore[attr-defined]
        content: bytes = image.fp.read(FILE)  # type: ignore[attr-defined]
        return content
    except (AttributeError, OSError, ValueError):
        return b""


def upright(numbers: np.ndarray, image: Image.Image) -> np.ndarray:
    """A picture's pixels as the camera was held, if the picture says so in a way that can be understood."""
    try:
        exif = None if image.format == "AVIF" else image.info.get("exif")  # for AVIF has a note of its own
        orientation = orientation_of(exif) if isinstance(exif, bytes) else None
        if orientation is None:  # which XMP may tell too
            orientation = image.getexif().get(ORIENTATION)
    except Exception:  # as Pillow has it, whatever is broken in a note
        return numbers
    transposed, down, right = TURNED.get(orientation, (False, 1, 1)) if isinstance(orientation, int) else (False, 1, 1)
    return (numbers.swapaxes(0, 1) if transposed else numbers)[::down, ::right]
