"""Tensors in [-1, 1] to pictures, and pictures to files. Nothing else writes picture files."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image

from midms.core.errors import NotFinite
from midms.core.files import atomic_write, check_file, followed, made, sweep
from midms.images.errors import PictureError, one_line


def to_pil(image: Float[Tensor, "1 c Y X"]) -> Image.Image:
    """An 8-bit picture of a tensor in [-1, 1], clipped; one channel gives a grey picture, three colour.

    Raises:
        NotFinite: it holds numbers that are not finite.
    """
    if not torch.isfinite(image).all():
        raise NotFinite(f"no picture: {int((~image.isfinite()).sum()):,} of {image.numel():,} numbers are not finite")
    bytes_ = ((image[0].detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray((bytes_[0] if len(bytes_) == 1 else bytes_.permute(1, 2, 0)).contiguous().numpy())


def check_target(path: str | os.PathLike[str]) -> None:
    """Find out before the work whether a picture can be saved under this path.

    Raises:
        PictureError: the suffix is of no known format, the folder does not exist, or the path is no regular file.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    try:
        check_file(target)
    except OSError as error:
        raise PictureError(f"{target}: cannot be written ({error.strerror or error})") from None
    if not _holds_colour(Image.registered_extensions().get(suffix)):
        raise PictureError(f"{target}: cannot write pictures named {suffix or 'without a suffix'}, use .png or .jpg")


@functools.cache
def _holds_colour(kind: str | None) -> bool:
    """Whether pictures in colour can be written in a format."""
    try:
        Image.new("RGB", (32, 32)).save(io.BytesIO(), kind or "")
    except (OSError, ValueError, KeyError):
        return False
    return True


def save_images(pictures: Mapping[Path, Image.Image]) -> None:
    """Write pictures under their paths, each whole, all or none; what killed processes left there is removed.

    Args:
        pictures: by path; folders are `made`. Notes of a PNG may be in `info["pnginfo"]`.

    Raises:
        PictureError: see `check_target`; or the disk refuses.
    """
    with ExitStack() as written:
        for path in pictures:
            try:
                written.enter_context(made(path.parent))
            except OSError as error:
                raise PictureError(f"{path}: its folder cannot be made ({error.strerror or error})") from None
            check_target(path)
        for folder in {followed(path).parent for path in pictures}:
            _sweep_once(folder, os.getpid())
        for path, picture in pictures.items():
            try:
                notes = {"pnginfo": picture.info["pnginfo"]} if "pnginfo" in picture.info else {}
                picture.save(written.enter_context(atomic_write(path)), **notes)
            except Exception as error:  # encoders raise whatever they like
                raise PictureError(
                    f"{path}: cannot be written ({getattr(error, 'strerror', None) or one_line(error)})"
                ) from None


@functools.lru_cache(2**12)
def _sweep_once(folder: Path, process: int) -> None:
    """What killed processes left is removed once a process: a folder of 100,000 results takes long to list."""
    sweep(folder)
