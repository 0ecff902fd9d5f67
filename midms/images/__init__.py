"""Pictures in and out: from whatever a person has to tensors in [-1, 1], and back to pictures and files.

Importing this loads no torch: finishers (`midms.images.finishers`) are listed without.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midms.images.decoding import opened
    from midms.images.errors import PictureError, check_shape, name_in_errors, one_line
    from midms.images.reading import Pixels, display_name, native_size, read_image, read_pixels, resize
    from midms.images.writing import check_target, save_images, to_pil

__all__ = [
    "PictureError",
    "Pixels",
    "check_shape",
    "check_target",
    "display_name",
    "name_in_errors",
    "native_size",
    "one_line",
    "opened",
    "read_image",
    "read_pixels",
    "resize",
    "save_images",
    "to_pil",
]

_HOME = {
    "decoding": ("opened",),
    "errors": ("PictureError", "check_shape", "name_in_errors", "one_line"),
    "reading": ("Pixels", "display_name", "native_size", "read_image", "read_pixels", "resize"),
    "writing": ("check_target", "save_images", "to_pil"),
}


def __getattr__(name: str) -> object:
    for module, names in _HOME.items():
        if name in names:
            return getattr(importlib.import_module(f"midms.images.{module}"), name)
    raise AttributeError(f"module 'midms.images' has no attribute {name!r}")
