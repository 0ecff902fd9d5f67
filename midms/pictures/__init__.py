"""Pictures in and out: from whatever a person has to tensors in [-1, 1], and back to pictures and files."""

from midms.pictures.decoding import opened
from midms.pictures.problems import PictureError, blaming, called, check_shape, one_line
from midms.pictures.reading import native_size, read, resize
from midms.pictures.writing import check_target, save, to_pil

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
