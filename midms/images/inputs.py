"""What people hand in, as the maps and pictures that the loop takes; what is wrong is said with the picture's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.protocols import AnnotationReader, ConditionExtractor, PageReader
from midms.core.types import Page, scaling, white_cells
from midms.images import PictureError, display_name, name_in_errors, read_image, resize
from midms.images.frame import Frame
from midms.images.reading import Read, read_reduced

Framing = Callable[[tuple[int, int]], Frame]
"""From a picture's height and width to the frame it is computed in."""

DETAIL = 512
"""Pixels of an exemplar's longer side at which its flat colours are looked for."""


class Given(NamedTuple):
    """A condition of any kind.

    Attributes:
        map: on its canvas.
        picture: of what was read.
        frame: the canvas and the picture in it.
        warnings: what may have been read wrongly, a line each.
    """

    map: Float[Tensor, "1 k y x"]
    picture: Float[Tensor, "1 3 Y X"]
    frame: Frame
    warnings: tuple[str, ...] = ()


def mapped(extractor: ConditionExtractor, source: object, name: str, framing: Framing) -> Given:
    """What a person handed in as a condition, read and brought to the size at which it is matched."""
    if isinstance(extractor, AnnotationReader):
        frames: list[Frame] = []

        def fit(shape: tuple[int, int]) -> tuple[int, int]:
            frames.append(framing(shape))
            return frames[-1].picture

        found = extractor.read(source, name, fit)
        return Given(frames[-1].pad(found), extractor.picture(found), frames[-1])
    picture, factor, doubts = read_reduced(source, name)
    page = extractor.page(picture) if isinstance(extractor, PageReader) else Page(picture, scaling(1, 1))
    frame = framing(_shape(page.picture)).within(scaling(factor, factor) @ page.home)
    with name_in_errors(display_name(source, name), doubts):
        found = extractor.drawing(frame.pad(page.picture), frame.canvas)
    return Given(found, page.picture, frame, (*(f"{name}: {line}" for line in doubts), *page.warnings))


def _exactly(wanted: Frame, name: str) -> Framing:
    """This frame, if that does not distort."""

    def framing(shape: tuple[int, int]) -> Frame:
        height, width = wanted.picture
        if not 0.9 < shape[0] * width / (shape[1] * height) < 1.1:
            raise PictureError(
                f"{name}: is {shape[1]} x {shape[0]} pixels, expected the exemplar's proportions, {width} : {height}"
            )
        return wanted

    return framing


def _shape(image: Float[Tensor, "b c Y X"]) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]


class GivenExemplars(NamedTuple):
    """One exemplar, or several.

    Attributes:
        pictures: on their canvases, in [-1, 1].
        maps: of these.
        frames: the canvases and the pictures in them.
        detailed: what was read, in [-1, 1], at most `DETAIL` pixels along the longer side.
        warnings: what may have been read wrongly, a line each.
    """

    pictures: list[Float[Tensor, "1 3 _ _"]]
    maps: list[Float[Tensor, "1 k _ _"]]
    frames: list[Frame]
    detailed: list[Float[Tensor, "1 3 _ _"]]
    warnings: tuple[str, ...]


def read_exemplars(
    extractor: ConditionExtractor, exemplar: object, condition: object | None, framing: Framing
) -> GivenExemplars:
    """Read one exemplar, or several in a list or tuple.

    Args:
        extractor: makes the maps.
        exemplar: a `midms.images.Picture`, or several.
        condition: what the extractor reads of the exemplar, or of each of several; by default the map is made from it.
        framing: from a picture's height and width to its frame.

    Raises:
        PictureError: something cannot be read, or there are not as many conditions as exemplars.
    """
    several = isinstance(exemplar, list | tuple)
    sources = _each("exemplar", exemplar if several else [exemplar])
    framed = [_framed(read_reduced(source, name), framing) for name, source in sources]
    pictures, frames, detailed, doubts = ([*column] for column in zip(*framed, strict=True))
    warnings = tuple(f"{name}: {line}" for (name, _), lines in zip(sources, doubts, strict=True) for line in lines)
    maps = []
    if condition is None:
        for (name, source), picture in zip(sources, pictures, strict=True):
            with name_in_errors(display_name(source, name)):
                maps.append(extractor.photo(picture))
        return GivenExemplars(pictures, maps, frames, detailed, warnings)
    sketches = _each("exemplar_condition", condition if several else [condition], len(pictures))
    for (name, sketch), frame in zip(sketches, frames, strict=True):
        given = mapped(extractor, sketch, name, _exactly(frame, display_name(sketch, name)))
        maps.append(given.map)
        warnings += given.warnings
    return GivenExemplars(pictures, maps, frames, detailed, warnings)


def _framed(read: Read, framing: Framing) -> tuple[Tensor, Frame, Tensor, tuple[str, ...]]:
    """A picture on its canvas, the frame, the picture in detail, and its warnings."""
    picture, factor, doubts = read
    frame = framing(_shape(picture)).within(scaling(factor, factor))
    share = min(1.0, DETAIL / max(_shape(picture)))
    height, width = (max(1, round(share * side)) for side in _shape(picture))
    return frame.pad(resize(picture, frame.picture)), frame, resize(picture, (height, width)).clamp(-1, 1), doubts


def masked(regions: object, frame: Frame, count: int) -> list[Tensor]:
    """Pictures of regions, one for each exemplar, as masks [1 1 Y X] of the canvas, in [0, 1]: white is 1.

    Raises:
        PictureError: one cannot be read or is black, there are not as many as exemplars, or there is one exemplar
            alone.
    """
    if count == 1:
        raise PictureError("regions: change nothing with one exemplar, expected several")
    masks = []
    for i, (name, region) in enumerate(_each("region", regions, count), 1):
        masks.append(_mask(read_image(region, name), frame))
        if not masks[-1].any():
            raise PictureError(
                f"{display_name(region, name)}: is black everywhere, so that nothing would take from exemplar {i}; "
                "leave both out"
            )
    return masks


def masked_exemplars(regions: object, frames: Sequence[Frame], stride: int) -> list[Tensor | None]:
    """Pictures of what may be taken from exemplars, in their order, as masks [1 1 Y X] of their canvases: white is 1.

    Raises:
        PictureError: one cannot be read, is not of its exemplar's proportions, or has no white cell of `stride` pixels
            a side; or there are more than exemplars.
    """
    given = regions if isinstance(regions, list | tuple) else [regions]
    if len(given) > len(frames):
        raise PictureError(
            f"exemplar_region: got {len(given)}, expected at most one for each of {len(frames)} exemplars"
        )
    masks: list[Tensor | None] = []
    for i, ((name, region), frame) in enumerate(zip(_each("exemplar_region", given), frames, strict=False), 1):
        if region is None:
            masks.append(None)
            continue
        picture, shown = read_image(region, name), display_name(region, name)
        masks.append(mask := _mask(picture, _exactly(frame, shown)(_shape(picture))))
        if not white_cells(mask, (frame.canvas[0] // stride, frame.canvas[1] // stride)).any():
            raise PictureError(
                f"{shown}: at {frame.picture[1]} x {frame.picture[0]} pixels no cell of {stride} x {stride} is white, "
                f"so that nothing could be taken from exemplar {i}; leave both out"
            )
    return masks


def _mask(picture: Float[Tensor, "1 3 Y X"], frame: Frame) -> Float[Tensor, "1 1 y x"]:
    return frame.pad(F.interpolate(picture, frame.picture, mode="area").mean(1, keepdim=True) / 2 + 0.5)


def _each(name: str, pictures: object, count: int | None = None) -> list[tuple[str, object]]:
    """Pictures with what errors call them.

    Raises:
        PictureError: there are not as many as there must be.
    """
    if not isinstance(pictures, list | tuple) or (count is not None and len(pictures) != count) or not pictures:
        got = len(pictures) if isinstance(pictures, list | tuple) else "one"
        raise PictureError(f"{name}: got {got}, expected {f'one for each of {count} exemplars' if count else 'some'}")
    return [(name if len(pictures) == 1 else f"{name} {i}", picture) for i, picture in enumerate(pictures, 1)]
