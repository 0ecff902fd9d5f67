"""Answers to clicks: sentences, and pictures with what they say drawn on them. Places are in shares of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from midms.images.figure import colour_map
from midms.pipeline.result import Translation

SIDE = 448
"""Pixels of a shown picture's longer side."""
_DARK, _HOT = (20, 20, 20), (255, 150, 0)
_LITTLE = 0.01
"""Share below which an exemplar stays as it is."""
Place = tuple[float, float]


class Answer(NamedTuple):
    """What a click is answered with.

    Attributes:
        text: sentences.
        result: the result, marked.
        exemplars: each exemplar, marked.
    """

    text: str
    result: Image.Image
    exemplars: list[Image.Image]


def enlarged(picture: Image.Image) -> Image.Image:
    """A picture as large as it is shown; of a small one each pixel is seen."""
    share = SIDE / max(picture.size)
    size = max(1, round(picture.width * share)), max(1, round(picture.height * share))
    return picture.convert("RGB").resize(size, Image.Resampling.NEAREST if share > 1 else Image.Resampling.LANCZOS)


def ringed(picture: Image.Image, place: Place) -> Image.Image:
    """A shown picture with a ring around a place."""
    marked = picture.copy()
    x, y = place[0] * picture.width, place[1] * picture.height
    for radius, colour in ((9, "black"), (8, "white"), (7, "white"), (6, "black")):
        ImageDraw.Draw(marked).circle((x, y), radius, outline=colour)
    return marked


def lit(picture: Image.Image, amounts: Float[Tensor, "Y X"]) -> Image.Image:
    """A shown picture, dark where amounts are small, in the colour of heat where they are large."""
    share = (amounts / amounts.max().clamp(min=1e-12)).numpy()
    grown = Image.fromarray((255 * share).round().astype(np.uint8)).resize(picture.size, Image.Resampling.NEAREST)
    share = np.asarray(grown, np.float32)[..., None] / 255
    shown = np.asarray(picture, np.float32)
    for colour, weight in ((_DARK, 0.6 * (1 - share)), (_HOT, 0.55 * share)):
        shown = shown + weight * (np.array(colour, np.float32) - shown)
    return Image.fromarray(shown.round().astype(np.uint8))


def confidence_overlay(found: Translation) -> Image.Image:
    """The result under its confidence, in colours from dark violet to yellow."""
    shown = enlarged(found.image)
    return Image.blend(shown, colour_map(found.confidence).resize(shown.size, Image.Resampling.BICUBIC), 0.6)


def source_of(found: Translation, exemplars: Sequence[Image.Image], place: Place) -> Answer:
    """Where a place of the result comes from.

    Args:
        found: the translation.
        exemplars: as they are shown.
        place: (x, y) in the result.
    """
    (width, height), rows = found.image.size, found.match_rows()
    x, y = min(int(place[0] * width), width - 1), min(int(place[1] * height), height - 1)
    origin, row = found.at(x, y), rows.row_at(place)
    shown = []
    for i, picture in enumerate(exemplars):
        amounts = rows.taken_by(row, i)
        shown.append(lit(picture, amounts) if i == origin.exemplar or amounts.max() > _LITTLE else picture)
    wide, high = found.frames[1 + origin.exemplar].handed_in
    there = (origin.place[0] + 0.5) / wide, (origin.place[1] + 0.5) / high
    shown[origin.exemplar] = ringed(shown[origin.exemplar], there)
    text = (
        f"Pixel ({x}, {y}) of the result comes from ({origin.place[0]:.0f}, {origin.place[1]:.0f}) of "
        f"{_called(origin.exemplar, exemplars)}. Confidence {_percent(origin.confidence)}. Cycle error: its cell comes "
        f"back {_percent(origin.cycle_error)} of the width away from itself. Its likeliest cell there has "
        f"{_percent(float(origin.distribution.max()))} of it."
    )
    return Answer(text, ringed(enlarged(found.image), place), shown)


def destinations_of(found: Translation, exemplars: Sequence[Image.Image], number: int, place: Place) -> Answer:
    """Where a place of an exemplar went; arguments as of `source_of`, and the exemplar's number, from 0."""
    wide, high = found.frames[1 + number].handed_in
    x, y = place[0] * wide - 0.5, place[1] * high - 0.5
    amounts = found.destinations(x, y, number)
    shown = [ringed(picture, place) if i == number else picture for i, picture in enumerate(exemplars)]
    where = f"Place ({x:.0f}, {y:.0f}) of {_called(number, exemplars)}"
    most = float(amounts.max())
    if most < _LITTLE:
        return Answer(f"{where} went nowhere.", enlarged(found.image), shown)
    text = f"{where} gives most to the lightest cells of the result: {_percent(most)} of what they take."
    return Answer(text, lit(enlarged(found.image), amounts), shown)


def _called(number: int, exemplars: Sequence[object]) -> str:
    return "the exemplar" if len(exemplars) == 1 else f"exemplar {number + 1}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"
