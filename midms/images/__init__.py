"""Pictures in and out: from whatever a person has to tensors in [-1, 1], and back to pictures and files."""

from midms.images.decoding import opened
from midms.images.errors import PictureError, blaming, called, check_shape, one_line
from midms.images.reading import native_size, read, resize
from midms.images.writing import check_target, save, to_pil

__all__ = [
    "PictureError",
    "blaming",
    "called",
    "check_shape",
    "check_target",
    "native_size",
    "one_line",
    "opened",
    "read",
    "resize",
    "save",
    "to_pil",
]
