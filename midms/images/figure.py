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
    unit = values.detach().float().cpu().clamp(0, 1).numpy()
    anchors = np.linspace(0, 1, len(VIRIDIS))
    channels = [np.interp(unit, anchors, [colour[i] for colour in VIRIDIS]) for i in range(3)]
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


def scatter(
    points: Sequence[tuple[float, float]],
    labels: Sequence[str],
    groups: Sequence[int],
    names: Sequence[str],
    across: str,
    upwards: str,
) -> Image.Image:
    """Points on two axes, with a legend.

    Args:
        points: (x, y); those that are not finite are left out.
        labels: what stands beside each.
        groups: of each, an index into the names; a colour each.
        names: of the groups.
        across: title of the x axis.
        upwards: title of the y axis.
    """
    width, height, margin = 640, 480, 60
    image = Image.new("RGB", (width + 180, height), BACKGROUND)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    shown = [i for i, point in enumerate(points) if np.isfinite(point).all()]
    scales = [ticks([points[i][axis] for i in shown]) for axis in (0, 1)]

    def place(x: float, y: float) -> tuple[float, float]:
        share = [(value - scale[0]) / (scale[-1] - scale[0]) for value, scale in zip((x, y), scales, strict=True)]
        return margin + share[0] * (width - 2 * margin), height - margin - share[1] * (height - 2 * margin)

    for x in scales[0]:
        draw.line([place(x, scales[1][0]), place(x, scales[1][-1])], (225, 225, 225))
        draw.text((place(x, 0)[0], height - margin + 6), f"{x:g}", TEXT, font, anchor="ma")
    for y in scales[1]:
        draw.line([place(scales[0][0], y), place(scales[0][-1], y)], (225, 225, 225))
        draw.text(place(scales[0][0], y), f"{y:g}  ", TEXT, font, anchor="rm")
    draw.text((width / 2, height - 14), across, TEXT, font, anchor="mm")
    draw.text((margin, margin / 2), upwards, TEXT, font, anchor="mm")
    for i in shown:
        x, y = place(*points[i])
        draw.circle((x, y), 4, hue(groups[i], len(names)))
        draw.text((x + 6, y), labels[i], TEXT, font, anchor="lm")
    for i, name in enumerate(names):
        draw.circle((width, margin + 18 * i), 4, hue(i, len(names)))
        draw.text((width + 10, margin + 18 * i), name[:26], TEXT, font, anchor="lm")
    return image


def ticks(values: Sequence[float]) -> list[float]:
    """Round numbers, 1, 2 or 5 times a power of ten apart, that enclose the values; about five."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** np.floor(np.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= span / 5)
    first, last = int(np.floor(low / step)), int(np.ceil(high / step))
    return [float(i * step) for i in range(first, max(last, first + 1) + 1)]


def hue(index: int, count: int) -> tuple[int, int, int]:
    """One of so many distinct colours."""
    red, green, blue = colorsys.hsv_to_rgb(index / max(count, 1), 0.85, 0.8)
    return round(255 * red), round(255 * green), round(255 * blue)
