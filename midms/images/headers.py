"""What the first and the last bytes of picture files tell: sizes, formats, whether a file ends where it should."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from PIL import Image

from midms.core.files import check_regular
from midms.images.arrays import excess
from midms.images.bare import JPEG
from midms.images.decoding import FILE, without_warnings

_ENDS = {JPEG: b"\xff\xd9", b"\x89PNG": b"IEND"}
"""How files of some formats begin, and end."""


def size_of(path: Path) -> tuple[int, int] | None:
    """Height and width in pixels of what is read of a picture file, by its header; None where that does not tell."""
    with without_warnings(), suppress(Exception):  # decoders raise whatever they like
        check_regular(path, FILE)
        with Image.open(path) as image:
            factor = excess(image.height, image.width)
            return image.height // factor, image.width // factor
    return None


def seems_whole(path: Path) -> bool:
    """Whether a file is there, and ends as a JPEG or PNG does if it begins as one; of other formats no end is known."""
    with suppress(OSError, ValueError):
        check_regular(path, FILE)
        with path.open("rb") as file:
            start, size = file.read(8), file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 16))
            end = file.read()
        return bool(start) and all(mark in end for begin, mark in _ENDS.items() if start.startswith(begin))
    return False


def format_of(path: Path) -> str | None:
    """Pillow's name of a picture file's format, such as "PNG", by its header; None where that does not tell."""
    with without_warnings(), suppress(Exception):  # decoders raise whatever they like
        check_regular(path, FILE)
        with Image.open(path) as image:
            return image.format
    return None
