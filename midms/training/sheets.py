"""Sheets of pictures while a model trains: held-out pairs, a row each, and what the stage makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jaxtyping import Float
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from midms.checkpoints.card import OURS
from midms.images import save_images, to_pil
from midms.images.figure import Sheet

ROWS = 4
"""Pairs on a sheet."""


def save_sheet(columns: Mapping[str, Float[Tensor, "b 3 y x"]], path: Path) -> None:
    """Write pictures in [-1, 1] side by side.

    Args:
        columns: pictures by title.
        path: of a picture file, in a folder that is made if need be.

    Raises:
        PictureError: it cannot be written.
        NotFinite: a picture holds numbers that are not finite.
    """
    few = {title: pictures[:ROWS] for title, pictures in columns.items()}
    side = next(iter(few.values())).shape[-2]
    rows = [[to_pil(picture[None]) for picture in row] for row in zip(*few.values(), strict=True)]
    image = Sheet(rows, [*few], max(side, 96)).image
    image.info["pnginfo"] = notes = PngInfo()
    notes.add_text("Comment", OURS)
    save_images({path: image})
