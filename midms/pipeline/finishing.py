"""A result finished with its drawing: checked, crops of the drawing translated anew, layers as pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from midms.core.errors import MidmsError, NothingDrawn
from midms.core.protocols import ConditionExtractor, Finisher
from midms.core.types import CropFn, Finished
from midms.images import resize, to_pil
from midms.images.frame import Frame
from midms.loop.inputs import check_finite

RESULT_LAYERS = ("colours", "lines", "regions")
"""Names of a result's layers."""
_DISTORTED = 0.9, 1.1
"""How far a result's proportions may be from those that were computed, which are whole cells."""
_MOST_REGIONS = 2**16 - 1
"""That a grey picture of 16 bits tells apart."""


class NoResult(MidmsError, ValueError):
    """A finisher gives what is no result; the message says what."""


def finish(
    finisher: Finisher,
    coloured: Float[Tensor, "1 3 y x"],
    drawing: Float[Tensor, "1 3 Y X"],
    exemplars: Sequence[Float[Tensor, "1 3 _ _"]],
    translate_crop: CropFn,
) -> Finished:
    """What a finisher gives, if it is a result.

    Args:
        finisher: called with the rest.
        coloured: the result, in [-1, 1].
        drawing: in [-1, 1].
        exemplars: in [-1, 1], colours that a person named among them.
        translate_crop: translates a crop of the drawing.

    Raises:
        NoResult: it is none, or has other proportions than `coloured`.
        NotFinite: it holds numbers that are not finite.
    """
    found = finisher(coloured, drawing, exemplars, translate_crop)
    name = f"finisher: {type(finisher).__name__} gives"
    if not isinstance(found, Finished):
        raise NoResult(f"{name} {type(found).__name__}, expected midms.core.types.Finished")
    _check_layer("colours", found.colours, (1, 3, None, None), name)
    (height, width), (tall, wide) = coloured.shape[-2:], found.colours.shape[-2:]
    if not _DISTORTED[0] * wide * height < tall * width < _DISTORTED[1] * wide * height:
        raise NoResult(f"{name} {wide} x {tall} pixels, expected the proportions of the result, {width} : {height}")
    if found.lines is not None:
        _check_layer("lines", found.lines, (1, 4, tall, wide), name)
    if found.regions is not None:
        _check_layer("regions", found.regions, (1, tall, wide), name)
    if not isinstance(found.warnings, tuple) or not all(isinstance(one, str) for one in found.warnings):
        raise NoResult(f"{name} {found.warnings!r} as warnings, expected a tuple of lines")
    check_finite(found.image, finisher, "finisher")
    return found


def _check_layer(layer: str, value: object, shape: tuple[int | None, ...], name: str) -> None:
    """Raise unless it is a tensor of this shape, None being any length: whole numbers of regions, else floats."""
    if isinstance(value, Tensor):
        whole = not value.dtype.is_floating_point and not value.dtype.is_complex and value.dtype != torch.bool
        fits = value.ndim == len(shape) and all(
            expected in (None, side) for expected, side in zip(shape, value.shape, strict=True)
        )
        if fits and (whole if layer == "regions" else value.is_floating_point()):
            return
    got = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    kind = "whole numbers" if layer == "regions" else "floats"
    sides = ", ".join("any" if side is None else str(side) for side in shape)
    raise NoResult(f"{name} {got} as {layer}, expected {kind} ({sides})")


def crop_translator(
    condition: ConditionExtractor,
    drawing: Float[Tensor, "1 3 Y X"],
    regions: Sequence[Float[Tensor, "1 1 y x"]] | None,
    framing: Callable[[tuple[int, int]], Frame],
    decoded: Callable[[Tensor, Sequence[Tensor] | None], Tensor],
) -> CropFn:
    """Translates crops of a drawing, each as if it were a drawing by itself; the exemplars stay whole.

    Args:
        condition: makes maps of drawings.
        drawing: as it was read, in [-1, 1].
        regions: which part of the drawing takes from each exemplar, where that was said, in the drawing's proportions.
        framing: from a drawing's height and width to its frame.
        decoded: from a condition map and regions, both on their canvas, to the picture on the same.
    """

    def translate_crop(box: tuple[float, float, float, float]) -> Tensor | None:
        crop = _cropped(drawing, box)
        frame = framing((crop.shape[-2], crop.shape[-1]))
        try:
            wanted = condition.drawing(frame.pad(crop), frame.canvas)
        except NothingDrawn:
            return None
        cover = regions and [frame.pad(resize(_cropped(one, box), frame.picture)) for one in regions]
        return frame.crop(decoded(wanted, cover))

    return translate_crop


def _cropped(picture: Float[Tensor, "1 c Y X"], box: tuple[float, float, float, float]) -> Float[Tensor, "1 c y x"]:
    """What of a picture is between (top, left, bottom, right), shares of its sides."""
    top, left, bottom, right = (round(share * side) for share, side in zip(box, 2 * picture.shape[-2:], strict=True))
    return picture[..., top : max(bottom, top + 1), left : max(right, left + 1)]


def layer_pictures(finished: Finished) -> dict[str, Image.Image]:
    """The layers as pictures of one size, called as in `RESULT_LAYERS`; none where the result has no lines of its own.

    Colours are opaque, lines transparent where there is no line; a pixel of regions is its region's number in 16 bits.
    """
    if finished.lines is None or finished.regions is None:
        return {}
    lines = to_pil(finished.lines[:, :3])
    lines.putalpha(to_pil(2 * finished.lines[:, 3:] - 1))
    numbers = finished.regions[0].clamp(max=_MOST_REGIONS).cpu().numpy().astype(np.uint16)
    return dict(zip(RESULT_LAYERS, (to_pil(finished.colours), lines, Image.fromarray(numbers)), strict=True))
