"""Hints as people give them, in pixels of their own pictures, from JSON or Python; and as the loop takes them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

import torch
from jaxtyping import Float, Int
from PIL import ImageColor
from pydantic import BeforeValidator, Field, field_validator
from torch import Tensor

from midms.core.limits import LARGE
from midms.core.schema import BRIEF, Schema, checked, read_json
from midms.core.types import Noise, NoiseFn
from midms.images import PictureError, display_name
from midms.images.annotations import label_map
from midms.images.frame import Frame
from midms.loop import Anchor, ColourHint, Hints
from midms.loop.inputs import noise_fn
from midms.pipeline.translator import Translator

HINTS = 200
"""Most anchors, and most colours."""
_EVEN = 0.1
"""How far the colours that hints name for a region may be apart, and those about an anchor's place, of the range."""
_BESIDE = 2
"""Pixels of the nine at an anchor's place that have its colour, from which it names one, as on a thin stripe."""
_BYTES = 2**18
"""Bytes of the largest file of hints that is read."""


def _listed(value: Any) -> Any:
    """Tuples, arrays and tensors, and the numbers in them, as Python's own lists and numbers."""
    values = value.tolist() if hasattr(value, "tolist") else value
    return (
        [one.item() if hasattr(one, "item") else one for one in values] if isinstance(values, list | tuple) else value
    )


_Radius = Annotated[float, Field(ge=0.1, le=LARGE)]
_Point = Annotated[list[float], Field(min_length=2, max_length=2), BeforeValidator(_listed)]


class PixelAnchor(Schema):
    """Here takes from there.

    Attributes:
        here: (x, y) in pixels of the condition as it was handed in, upright, from 0.
        there: (x, y) in pixels of the exemplar as it was handed in.
        exemplar: which of several, from 0.
        radius: distance from here, in pixels of the condition, at which half of it takes from there; by default a
            sixteenth of the longer side, or where there are regions all of the region that it lies in.
    """

    here: _Point
    there: _Point
    exemplar: int = Field(0, ge=0)
    radius: _Radius | None = None


class PixelColour(Schema):
    """A place that has a colour.

    Attributes:
        here: as of `PixelAnchor`.
        colour: as CSS writes it, such as "#c04020" or "teal".
        radius: as of `PixelAnchor`.
    """

    here: _Point
    colour: str = Field(max_length=40)
    radius: _Radius | None = None

    @field_validator("colour")
    @classmethod
    def _known(cls, colour: str) -> str:
        found: tuple[int, ...] = ()
        with suppress(ValueError):
            found = ImageColor.getrgb(colour)
        if len(found) != 3 or not all(0 <= value <= 255 for value in found):
            raise ValueError(f'expected a colour such as "#c04020" or "teal", got {colour!r}')
        return colour

    @property
    def rgb(self) -> tuple[float, float, float]:
        """Red, green and blue in [-1, 1]."""
        red, green, blue = (value / 127.5 - 1 for value in ImageColor.getrgb(self.colour)[:3])
        return red, green, blue


HINT_KINDS: Mapping[str, type[PixelAnchor | PixelColour]] = MappingProxyType(
    {"anchors": PixelAnchor, "colours": PixelColour}
)
"""What hints are, by the arguments of `translate` that take them."""
H = TypeVar("H", bound=PixelAnchor | PixelColour)


def read_hints(model: type[H], source: object, name: str) -> list[H]:
    """Anchors or colours, checked one by one.

    Args:
        model: what each of them must be.
        source: a list of mappings with the fields of the model, or the path of a JSON file that holds one.
        name: what errors call a list.

    Raises:
        PictureError: it cannot be read, one of them is not as it should be, or there are more than `HINTS`.
    """
    where = display_name(source, name)
    content = read_json(Path(source), PictureError, _BYTES) if isinstance(source, str | os.PathLike) else source
    if not isinstance(content, list | tuple):
        raise PictureError(f"{where}: expected a list of {name}, got {BRIEF.repr(content)}")
    if len(content) > HINTS:
        raise PictureError(f"{where}: has {len(content):,} {name}, expected at most {HINTS}")
    return [checked(model, one, f"{where}[{i}]", PictureError) for i, one in enumerate(content)]


def hint_warnings(pipe: Translator, given: Collection[str]) -> tuple[str, ...]:
    """What a person should know of hints beforehand, a line each.

    Args:
        pipe: a composed method.
        given: which of `HINT_KINDS`.
    """
    warnings = []
    if given and pipe.injection is not None:
        what = f"{' and '.join(given)}: {type(pipe.injection).__name__} injects what it finds without them"
        warnings.append(f"{what}, so that they change little; injection none heeds them")
    elif "colours" in given and not getattr(pipe.finisher, "finds_regions", False):
        warnings.append(
            "colours: a hint only draws the result towards its colour, which it rarely reaches; a finisher that finds"
            " regions, such as composite, paints them"
        )
    return tuple(warnings)


def placed(
    anchors: object | None,
    colours: object | None,
    regions: object | None,
    frame: Frame,
    exemplars: Sequence[Frame],
    stride: int,
) -> Hints | None:
    """Hints on the canvases, or None where there are none.

    Args:
        anchors: as `read_hints` takes them, of `PixelAnchor`; None for none.
        colours: likewise, of `PixelColour`.
        regions: a label map of the condition's picture, as `label_map` reads it, at any resolution; None for none.
        frame: of the condition.
        exemplars: frames of the exemplars.
        stride: pixels of a cell.

    Raises:
        PictureError: hints cannot be read, lie outside of a picture, or contradict each other.
    """
    taken: dict[tuple[int, ...], tuple[str, object]] = {}

    def here(hint: PixelAnchor | PixelColour, where: str, takes: object) -> tuple[tuple[float, float], float | None]:
        place, scale = _on_canvas(hint.here, frame, f"{where}.here", "condition")
        first, before = taken.setdefault(_cell_of(place, frame, stride), (where, takes))
        if before != takes:
            raise PictureError(
                f"{where}: is where {first} is, within a cell of {stride} pixels, and takes from elsewhere"
            )
        return place, hint.radius and hint.radius * scale / max(frame.canvas)

    given = []
    for i, hint in enumerate([] if anchors is None else read_hints(PixelAnchor, anchors, "anchors")):
        where = f"{display_name(anchors, 'anchors')}[{i}]"
        if hint.exemplar >= len(exemplars):
            raise PictureError(f"{where}.exemplar: got {hint.exemplar}, expected less than {len(exemplars)}, from 0")
        there, _ = _on_canvas(hint.there, exemplars[hint.exemplar], f"{where}.there", "exemplar")
        takes = hint.exemplar, _cell_of(there, exemplars[hint.exemplar], stride)
        place, radius = here(hint, where, takes)
        given.append(Anchor(place, there, hint.exemplar, radius))
    painted = []
    for i, one in enumerate([] if colours is None else read_hints(PixelColour, colours, "colours")):
        place, radius = here(one, f"{display_name(colours, 'colours')}[{i}]", one.rgb)
        painted.append(ColourHint(place, one.rgb, radius))
    if not given and not painted:
        return None
    return Hints(tuple(given), tuple(painted), None if regions is None else _regions(regions, frame))


def repeatable(generator: Noise, like: Float[Tensor, "b _ _ _"]) -> Callable[[], NoiseFn]:
    """Noise for several runs of the loop: each call gives a NoiseFn that begins with the first draw again.

    Args:
        generator: of the noise.
        like: has the batch, type and device that draws should have.
    """
    draw, drawn = noise_fn(generator, like), list[Tensor]()

    def begin() -> NoiseFn:
        before = iter([*drawn])

        def same(shape: tuple[int, ...]) -> Tensor:
            if (found := next(before, None)) is None:
                drawn.append(found := draw(shape))
            return found

        return same

    return begin


def in_regions(hints: Hints, regions: Int[Tensor, "1 Y X"], frame: Frame) -> Hints:
    """The same hints, ending where regions of the condition's picture, at any resolution, end."""
    return replace(hints, regions=frame.pad(regions[None].float())[0, 0].long())


def confined(hinted: Float[Tensor, "1 c y x"], plain: Tensor, hints: Hints, frame: Frame) -> Float[Tensor, "1 c y x"]:
    """A picture of any resolution with hints; where their regions do not reach, the one without."""
    canvas = frame.pad(hinted[:, :1]).shape
    reached = frame.crop(hints.within((canvas[-2], canvas[-1]))).to(hinted.device)
    return torch.where(reached, hinted, plain)


def painted(
    colours: Float[Tensor, "1 3 Y X"], hints: Hints, exemplars: Sequence[Float[Tensor, "1 3 _ _"]], frame: Frame
) -> Float[Tensor, "1 3 Y X"]:
    """Colours, in which a region whose hints all name one flat colour has that colour throughout.

    A hint with a radius does not, for it is not of all of its region.

    Args:
        colours: in [-1, 1].
        hints: with regions.
        exemplars: on their canvases, at any resolution, in [-1, 1].
        frame: of the condition.
    """
    canvas = frame.pad(colours[:, :1]).shape
    for area, those in hints.areas((canvas[-2], canvas[-1])):
        named = [_flat_colour(hint, exemplars) for hint in those]
        known = torch.stack([one.to(colours) for one in named if one is not None]) if None not in named else None
        if known is not None and (known.amax(0) - known.amin(0)).max() < 2 * _EVEN:
            colours = torch.where(frame.crop(area).to(colours.device), known.mean(0).view(1, 3, 1, 1), colours)
    return colours


def _flat_colour(hint: Anchor | ColourHint, exemplars: Sequence[Float[Tensor, "1 3 _ _"]]) -> Float[Tensor, "3"] | None:
    """That a hint names: its own, or that which the exemplar has at its place and in pixels beside it."""
    if hint.radius is not None:
        return None
    if isinstance(hint, ColourHint):
        return torch.tensor(hint.colour, device="cpu")
    picture = exemplars[hint.exemplar]
    sides = picture.shape[-1], picture.shape[-2]
    x, y = (min(int(share * side), side - 1) for share, side in zip(hint.there, sides, strict=True))
    around = picture[0, :, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].flatten(1)
    alike = (around - picture[0, :, y, x, None]).abs().amax(0) < 2 * _EVEN
    return around[:, alike].mean(1) if alike.sum() >= _BESIDE else None


def _regions(regions: object, frame: Frame) -> Int[Tensor, "Y X"]:
    labels = label_map(regions, "hint_regions")
    (height, width), (tall, wide) = labels.shape[1:], frame.picture
    if not 0.9 < height * wide / (width * tall) < 1.1:
        raise PictureError(
            f"hint_regions: is {width} x {height} pixels, expected the condition's proportions, {wide} : {tall}"
        )
    return frame.pad(labels[None].double())[0, 0].long()


def _on_canvas(point: Sequence[float], frame: Frame, where: str, name: str) -> tuple[tuple[float, float], float]:
    """A point as shares of its canvas' width and height, and how many pixels of the canvas one there is wide."""
    x, y = point
    back = torch.linalg.inv(frame.home)
    ahead = (back @ torch.tensor([[x, x + 1], [y, y], [1, 1]], dtype=torch.float64, device="cpu")).T
    place, beside = (ahead[:, :2] / ahead[:, 2:]).unbind(0)
    (column, row), (height, width), (top, left) = place.tolist(), frame.picture, frame.corner
    if not (-0.5 <= column < width - 0.5 and -0.5 <= row < height - 0.5):
        ends = torch.tensor([[-0.5, -0.5], [width - 0.5, -0.5], [-0.5, height - 0.5], [width - 0.5, height - 0.5]])
        corners = frame.origins(ends)
        (least_x, least_y), (most_x, most_y) = corners.amin(0).tolist(), corners.amax(0).tolist()
        raise PictureError(
            f"{where}: ({x:g}, {y:g}) is outside of the {name}, whose pixels go from ({math.ceil(least_x)}, "
            f"{math.ceil(least_y)}) to ({math.floor(most_x)}, {math.floor(most_y)})"
        )
    share = (column + left + 0.5) / frame.canvas[1], (row + top + 0.5) / frame.canvas[0]
    return share, float((beside - place).norm())


def _cell_of(place: tuple[float, float], frame: Frame, stride: int) -> tuple[int, int]:
    return int(place[0] * frame.canvas[1] / stride), int(place[1] * frame.canvas[0] / stride)
