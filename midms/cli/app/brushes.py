"""Regions that a visitor paints: what has a colour in the drawing takes only from what has it in an exemplar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from PIL import Image

from midms.images import PictureError

BRUSHES = {"red": "#e23d3d", "blue": "#386eeb", "green": "#2aa052", "yellow": "#f0b400"}
"""Colours of regions by what they are called; labels count them from 1, and 0 is what is not painted."""
BRUSH_OPACITY = 0.6
_HEIGHT, _GAP = 320, 24
"""Of the pictures on a board, and between them, in pixels."""
_PAINTED = 32
"""Of 255, how opaque a pixel of a stroke is at least."""
Labels = Int[np.ndarray, "_ _"]


class Board(NamedTuple):
    """Drawing and exemplars side by side, to be painted on.

    Attributes:
        picture: all of it.
        boxes: left, upper, right and lower end of each, the drawing first.
    """

    picture: Image.Image
    boxes: tuple[tuple[int, int, int, int], ...]

    def labels(self, layers: Sequence[Image.Image]) -> list[Labels]:
        """What was painted on each picture, the drawing first, of strokes with transparency on the board."""
        found = np.zeros((self.picture.height, self.picture.width), np.int64)
        palette = np.array([[int(one[i : i + 2], 16) for i in (1, 3, 5)] for one in BRUSHES.values()])
        for layer in layers:
            strokes = np.asarray(layer.convert("RGBA").resize(self.picture.size, Image.Resampling.NEAREST), np.int64)
            nearest = np.square(strokes[..., None, :3] - palette).sum(-1).argmin(-1)
            found = np.where(strokes[..., 3] >= _PAINTED, 1 + nearest, found)
        return [found[top:bottom, left:right] for left, top, right, bottom in self.boxes]


def board_of(drawing: Image.Image, exemplars: Sequence[Image.Image]) -> Board:
    """The board of a drawing and its exemplars."""
    pictures = [
        one.convert("RGB").resize((max(1, round(one.width * _HEIGHT / one.height)), _HEIGHT))
        for one in (drawing, *exemplars)
    ]
    board = Image.new("RGB", (sum(one.width + _GAP for one in pictures) - _GAP, _HEIGHT), "white")
    boxes, left = [], 0
    for one in pictures:
        board.paste(one, (left, 0))
        boxes.append((left, 0, left + one.width, _HEIGHT))
        left += one.width + _GAP
    return Board(board, tuple(boxes))


class Paired(NamedTuple):
    """Regions as `translate` takes them: an exemplar is given once for each colour that it has.

    Attributes:
        numbers: which exemplar is given, from 0.
        regions: white where the drawing takes from it; None where it is one alone.
        exemplar_regions: white where it may be taken from; None for all of it.
        notes: what a visitor should know of it.
    """

    numbers: list[int]
    regions: list[Image.Image] | None
    exemplar_regions: list[Image.Image | None]
    notes: list[str]


def paired(painted: Sequence[Labels]) -> Paired:
    """Each colour of the drawing, and what is not painted there, with the same in exemplars.

    What is not painted in the drawing takes from all that is not painted in exemplars, or where all is, from all.

    Args:
        painted: labels of the drawing, then of each exemplar.

    Raises:
        PictureError: a colour is in the drawing alone.
    """
    drawing, exemplars, names = painted[0], painted[1:], ["", *BRUSHES]
    numbers, regions, allowed = list[int](), list[Image.Image](), list[Image.Image | None]()
    for label in np.unique(drawing):
        having = [i for i, one in enumerate(exemplars) if (one == label).any()]
        if not having and label:
            raise PictureError(
                f"{names[label]} is in the drawing alone: paint what it shall take from in an exemplar too"
            )
        for i in having or range(len(exemplars)):
            numbers.append(i)
            regions.append(_mask(drawing == label))
            allowed.append(_mask(exemplars[i] == label) if having and exemplars[i].any() else None)
    unused = {int(label) for one in exemplars for label in np.unique(one)} - {0, *np.unique(drawing).tolist()}
    notes = [f"{names[label]} is in an exemplar alone, so that nothing takes from there" for label in sorted(unused)]
    return Paired(numbers, regions if len(numbers) > 1 else None, allowed, notes)


def _mask(inside: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(inside, 255, 0).astype(np.uint8))
