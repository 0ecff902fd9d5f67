"""Pictures in and out: from whatever a person has to tensors in [-1, 1], and back to pictures and files."""

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
