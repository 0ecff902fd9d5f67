"""Answers to clicks: sentences, and pictures with what they say drawn on them. Places are in shares of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from midms.images.figure import colour_map
from midms.pipeline.result import Translation

SIDE = 448
"""Pixels of a shown picture's longer side."""
_DARK, _HOT = (16, 18, 28), (255, 176, 40)
_DIM, _GLOW = 0.66, 0.4
"""How much of the dark lies on what is not taken from, and of the heat on what is taken from most."""
_SOFT = 6
"""By how many pixels the edges of cells are blurred."""
_RADIUS, _FINER = 12, 4
"""Of a ring, in pixels of a shown picture, and how many times finer it is drawn."""
_LITTLE = 0.01
"""Share below which an exemplar stays as it is."""
Place = tuple[float, float]


class Answer(NamedTuple):
    """What a click is answered with.

    Attributes:
        text: a sentence.
        result: the result, marked.
        exemplars: each exemplar, marked.
        facts: what is measured, with the number of each.
        colours: of the place and of where it comes from, as CSS writes them.
    """

    text: str
    result: Image.Image
    exemplars: list[Image.Image]
    facts: tuple[tuple[str, str], ...] = ()
    colours: tuple[str, ...] = ()


class Shown(NamedTuple):
    """A translation as a visitor sees it.

    Attributes:
        found: the translation.
        exemplars: a visitor's, as they are shown.
        numbers: of each exemplar of the translation, which of the visitor's it is, from 0: one that has regions of
            several colours is several.
    """

    found: Translation
    exemplars: Sequence[Image.Image]
    numbers: Sequence[int]


def enlarged(picture: Image.Image) -> Image.Image:
    """A picture as large as it is shown."""
    share = SIDE / max(picture.size)
    size = max(1, round(picture.width * share)), max(1, round(picture.height * share))
    return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def ringed(picture: Image.Image, place: Place) -> Image.Image:
    """A shown picture with a ring around a place."""
    marked, side = picture.copy(), 2 * (_RADIUS + 4)
    ring = Image.new("RGBA", (_FINER * side, _FINER * side))
    middle = (_FINER * side / 2,) * 2
    for beyond, width, colour in ((2, 6, (0, 0, 0, 150)), (0, 3, (255, 255, 255, 255))):
        radius = _FINER * (_RADIUS + beyond)
        ImageDraw.Draw(ring).circle(middle, radius, outline=colour, width=_FINER * width)
    ring = ring.resize((side, side), Image.Resampling.LANCZOS)
    marked.paste(ring, (round(place[0] * picture.width - side / 2), round(place[1] * picture.height - side / 2)), ring)
    return marked


def lit(picture: Image.Image, amounts: Float[Tensor, "Y X"]) -> Image.Image:
    """A shown picture, dark where amounts are small, in its own colours under that of heat where they are large."""
    share = (amounts / amounts.max().clamp(min=1e-12)).numpy()
    grown = Image.fromarray((255 * share).round().astype(np.uint8)).resize(picture.size)
    grown = grown.filter(ImageFilter.GaussianBlur(_SOFT))
    share = np.asarray(grown, np.float32)[..., None] / 255
    shown = np.asarray(picture, np.float32)
    for colour, weight in ((_DARK, _DIM * (1 - share)), (_HOT, _GLOW * share)):
        shown = shown + weight * (np.array(colour, np.float32) - shown)
    return Image.fromarray(shown.round().astype(np.uint8))


def confidence_overlay(found: Translation) -> Image.Image:
    """The result under its confidence, in colours from dark violet to yellow."""
    shown = enlarged(found.image)
    return Image.blend(shown, colour_map(found.confidence).resize(shown.size, Image.Resampling.BICUBIC), 0.6)


def source_of(seen: Shown, place: Place) -> Answer:
    """Where a place of the result, (x, y), comes from."""
    found, numbers = seen.found, seen.numbers
    (width, height), rows = found.image.size, found.match_rows()
    x, y = min(int(place[0] * width), width - 1), min(int(place[1] * height), height - 1)
    origin, row = found.at(x, y), rows.row_at(place)
    number, shown = numbers[origin.exemplar], [*seen.exemplars]
    for i, picture in enumerate(seen.exemplars):
        taken = [rows.taken_by(row, k) for k, one in enumerate(numbers) if one == i]
        if taken and ((amounts := sum(taken[1:], taken[0])).max() > _LITTLE or i == number):
            shown[i] = lit(picture, amounts)
    wide, high = found.frames[1 + origin.exemplar].handed_in
    there = (origin.place[0] + 0.5) / wide, (origin.place[1] + 0.5) / high
    shown[number] = ringed(shown[number], there)
    result = enlarged(found.image)
    called = _called(number, seen.exemplars)
    whereabouts = f"({origin.place[0]:.0f}, {origin.place[1]:.0f})"
    several = f"several places of {called}, the most from around {whereabouts}"
    return Answer(
        f"Pixel ({x}, {y}) of the result comes from {several if origin.near < 0.5 else f'{whereabouts} of {called}'}.",
        ringed(result, place),
        shown,
        (
            ("Confidence", _percent(origin.confidence)),
            ("Cycle error, of the width", _percent(origin.cycle_error)),
            ("Taken from around there", _percent(origin.near)),
        ),
        (_colour(result, place), _colour(seen.exemplars[number], there)),
    )


def destinations_of(seen: Shown, number: int, place: Place) -> Answer:
    """Where a place of a visitor's exemplar, counted from 0, went."""
    found, shown = seen.found, [*seen.exemplars]
    shown[number] = ringed(shown[number], place)
    those = [k for k, one in enumerate(seen.numbers) if one == number]
    result = enlarged(found.image)
    if not those:
        return Answer(f"Nothing was taken from {_called(number, seen.exemplars)}.", result, shown)
    wide, high = found.frames[1 + those[0]].handed_in
    x, y = place[0] * wide - 0.5, place[1] * high - 0.5
    where = f"Place ({x:.0f}, {y:.0f}) of {_called(number, seen.exemplars)}"
    taken = [found.destinations(x, y, k) for k in those]
    amounts = sum(taken[1:], taken[0])
    most = float(amounts.max())
    if most < _LITTLE:
        return Answer(f"{where} went nowhere.", result, shown)
    text = f"{where} gives most to the lightest cells of the result."
    facts = (("Of what they take, it gives", _percent(most)),)
    return Answer(text, lit(result, amounts), shown, facts, (_colour(seen.exemplars[number], place),))


def _called(number: int, exemplars: Sequence[object]) -> str:
    return "the exemplar" if len(exemplars) == 1 else f"exemplar {number + 1}"


def _colour(picture: Image.Image, place: Place) -> str:
    """The colour of a place of a shown picture."""
    x, y = (min(int(share * side), side - 1) for share, side in zip(place, picture.size, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*picture.getpixel((x, y)))  # type: ignore[misc]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"
