"""Pictures side by side: labels, colour maps, lines between points. Pillow only."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""Anchors of matplotlib's viridis, evenly spaced."""
GAP = 8
CAPTION = 26
BACKGROUND, TEXT = (255, 255, 255), (40, 40, 40)
SMOOTH = 3
"""How much larger lines are drawn than shown."""

Line = tuple[tuple[float, float], tuple[float, float]]


def colour_map(values: Float[Tensor, "Y X"]) -> Image.Image:
    """Values in [0, 1] as colours from dark violet to yellow."""
    clamped = values.detach().float().cpu().clamp(0, 1).numpy()
    anchors = np.linspace(0, 1, len(VIRIDIS))
    channels = [np.interp(clamped, anchors, [colour[i] for colour in VIRIDIS]) for i in range(3)]
    return Image.fromarray(np.stack(channels, -1).round().astype(np.uint8))


class Sheet:
    """Rows of pictures under column titles, each picture as large as its cell allows.

    Args:
        rows: pictures; every row as many as there are titles.
        titles: one a column.
        side: height in pixels of a row of pictures.

    Raises:
        ValueError: a row is not as long as the titles.
    """

    def __init__(self, rows: Sequence[Sequence[Image.Image]], titles: Sequence[str], side: int) -> None:
        for row in rows:
            if len(row) != len(titles):
                raise ValueError(f"expected {len(titles)} pictures a row, for {', '.join(titles)}; got {len(row)}")
        fitted = [[_fit(picture, side) for picture in row] for row in rows]
        widths = [max(row[column].width for row in fitted) for column in range(len(titles))]
        self.lefts = [GAP, *(GAP + end for end in accumulate(width + GAP for width in widths))]
        self.tops = [CAPTION + row * (side + GAP) for row in range(len(rows) + 1)]
        self.image = Image.new("RGB", (self.lefts[-1], self.tops[-1]), BACKGROUND)
        self.boxes: dict[tuple[int, int], tuple[int, int, int, int]] = {}
        font = ImageFont.load_default(14)
        draw = ImageDraw.Draw(self.image)
        for column, title in enumerate(titles):
            draw.text((self.lefts[column] + widths[column] / 2, CAPTION / 2), title, TEXT, font, anchor="mm")
        for i, row in enumerate(fitted):
            for j, picture in enumerate(row):
                left, top = self.lefts[j] + (widths[j] - picture.width) // 2, self.tops[i]
                self.image.paste(picture, (left, top))
                self.boxes[i, j] = (left, top, picture.width, picture.height)

    def connect(self, lines: Sequence[Line], row: int, columns: tuple[int, int]) -> None:
        """Draw lines between points of two pictures of a row.

        Args:
            lines: pairs of points (x, y), each as a share of its picture's width and height.
            row: of the two pictures.
            columns: of the first points' picture and of the second points'.
        """
        overlay = Image.new("RGBA", (self.image.width * SMOOTH, self.image.height * SMOOTH))
        draw = ImageDraw.Draw(overlay)
        for index, line in enumerate(lines):
            rgb = colorsys.hsv_to_rgb(index / len(lines), 0.85, 0.9)
            colour = tuple(round(255 * value) for value in rgb)
            ends = [self._place(point, row, column) for point, column in zip(line, columns, strict=True)]
            draw.line([value for end in ends for value in end], (*colour, 170), width=SMOOTH * 3 // 2)
            for x, y in ends:
                draw.circle((x, y), 4 * SMOOTH, (*colour, 255), outline=(255, 255, 255, 255), width=SMOOTH)
        smooth = overlay.resize(self.image.size, Image.Resampling.BOX)
        self.image.paste(smooth, mask=smooth)

    def _place(self, point: tuple[float, float], row: int, column: int) -> tuple[float, float]:
        left, top, width, height = self.boxes[row, column]
        return SMOOTH * (left + point[0] * width), SMOOTH * (top + point[1] * height)


def _fit(picture: Image.Image, side: int) -> Image.Image:
    scale = side / picture.height
    size = max(1, round(picture.width * scale)), side
    return picture.convert("RGB").resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS)


def note(text: str, side: int) -> Image.Image:
    """Some lines of text as a picture to stand in a sheet.

    Args:
        text: with line breaks.
        side: height in pixels; it is as wide as it must be.
    """
    font = ImageFont.load_default(12)
    left, top, right, bottom = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, 0), text, font)
    image = Image.new("RGB", (round(right - left) + 2 * GAP, side), BACKGROUND)
    ImageDraw.Draw(image).multiline_text((GAP, (side - bottom + top) / 2), text, TEXT, font)
    return image
