"""Pictures made for tests: drawings and a photo."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw


def drawing(width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).ellipse([width // 4, height // 4, width * 3 // 4, height * 3 // 4], outline="black", width=4)
    return image


def photo(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    red, green = 255 * x / width, 255 * y / height
    return Image.fromarray(np.stack([red, green, red * 0 + 90], -1).astype(np.uint8))


def face(side: int, pen: int, paper: object = "white", stroke: object = "black", filled: bool = False) -> Image.Image:
    """A face, drawn with a pen of `pen` pixels on a sheet of `side` pixels."""
    image = Image.new("RGB", (side, side), paper)
    draw, s, half = ImageDraw.Draw(image), side / 100, pen / 2

    def box(*corners: float) -> list[float]:
        return [corners[0] * s - half, corners[1] * s - half, corners[2] * s + half, corners[3] * s + half]

    draw.ellipse(box(25, 12, 75, 80), outline=stroke, width=pen)
    for left in (36, 54):
        draw.ellipse(box(left, 38, left + 10, 46), outline=stroke, width=pen)
    draw.line([x * s for x in (50, 47, 47, 58, 53, 58)], fill=stroke, width=pen)
    draw.arc(box(5, 84, 95, 140), 180, 360, fill=stroke, width=pen)
    if filled:
        draw.chord(box(25, 12, 75, 60), 200, 340, fill=stroke)
    return image
