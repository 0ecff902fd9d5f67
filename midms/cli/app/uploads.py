"""Files that visitors hand in: within limits, read at once, removed."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from midms.core.files import read_regular
from midms.core.protocols import AnnotationReader, ConditionExtractor
from midms.core.schema import parse_json
from midms.images import PictureError, Pixels, read_image, read_pixels, to_pil
from midms.images.decoding import from_bytes

BYTES, MEGAPIXELS = 20 * 2**20, 24
"""Of the largest file, and of the largest picture, that are taken."""
_KEYPOINTS = ".json"
"""How files of keypoints end."""
_SHOWN = 256
"""Pixels of the longer side of an annotation that is shown."""


@dataclass(frozen=True)
class Upload:
    """A file that a visitor handed in.

    Attributes:
        name: of the file.
        content: its bytes.
        pixels: of its picture; None where it has keypoints.
    """

    name: str
    content: bytes
    pixels: Pixels | None

    def given(self, condition: ConditionExtractor) -> object:
        """What `translate` takes of it: a picture, or where the condition is an annotation a label map or keypoints.

        Raises:
            PictureError: keypoints are given where a drawing is expected, or are no JSON.
        """
        annotated = isinstance(condition, AnnotationReader)
        if self.pixels is not None:
            return from_bytes(self.content, self.name) if annotated else self.pixels
        if not annotated:
            raise PictureError(f"{self.name}: this preset takes a drawing, expected a picture")
        try:
            return parse_json(self.content)
        except (ValueError, RecursionError) as error:
            raise PictureError(f"{self.name}: no JSON ({error})") from None

    def shown(self, condition: ConditionExtractor) -> Image.Image:
        """As a picture.

        Raises:
            PictureError: it is not what the condition takes.
        """
        if not isinstance(condition, AnnotationReader):
            return to_pil(read_image(self.given(condition)))

        def fit(shape: tuple[int, int]) -> tuple[int, int]:
            height, width = (max(1, round(side * min(1, _SHOWN / max(shape)))) for side in shape)
            return height, width

        return to_pil(condition.picture(condition.read(self.given(condition), self.name, fit)))


def read_upload(path: Path) -> Upload:
    """A file, which is removed.

    Raises:
        PictureError: it is no picture and no JSON, or larger than is taken.
    """
    try:
        content = read_regular(path, BYTES)
    except OSError as error:
        raise PictureError(f"{path.name}: {error.strerror or error}") from None
    finally:
        path.unlink(missing_ok=True)
    if path.suffix.lower() == _KEYPOINTS:
        return Upload(path.name, content, None)
    width, height = _size(content)
    if width * height > MEGAPIXELS * 10**6:
        megapixels = width * height / 10**6
        raise PictureError(f"{path.name}: has {megapixels:.0f} megapixels, expected at most {MEGAPIXELS}")
    return Upload(path.name, content, read_pixels(from_bytes(content, path.name), path.name))


def read_uploads(paths: Sequence[Path], what: str, most: int) -> list[Upload]:
    """Files, all of which are removed, even where one of them is refused.

    Args:
        paths: of the files.
        what: they are, for the message.
        most: how many are taken.

    Raises:
        PictureError: they are more, or one is nothing that `read_upload` takes.
    """
    try:
        if len(paths) > most:
            raise PictureError(f"{what}: got {len(paths)}, expected at most {most}")
        return [read_upload(path) for path in paths]
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def uploaded(picture: Image.Image, name: str) -> Upload:
    """A picture that comes with the package, as if it had been handed in."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return Upload(name, file.getvalue(), read_pixels(picture, name))


def _size(content: bytes) -> tuple[int, int]:
    """Width and height by a picture's header; nothing of what has none that tells."""
    with warnings.catch_warnings(), suppress(Exception):  # decoders raise whatever they like, and say why later
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    return 0, 0


def drawn(opened: Upload | None, layers: list[Image.Image], composite: Image.Image | None) -> Upload | None:
    """What a pad shows: the file that was opened in it, or a person's strokes, which may be on it.

    Args:
        opened: the file; None where none was.
        layers: of strokes, with transparency.
        composite: all of it.
    """
    strokes = any(np.asarray(layer.convert("RGBA"))[..., 3].any() for layer in layers)
    if not strokes or composite is None:
        return opened
    return uploaded(composite, "the drawing")
