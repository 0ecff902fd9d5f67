"""A result finished with its drawing: parts of the drawing translated anew, layers as pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from midms.core.protocols import ConditionExtractor
from midms.core.types import Finished, PartFn
from midms.images import resize, to_pil
from midms.images.frame import Frame
from midms.loop import Hints
from midms.pipeline.hints import confined

RESULT_LAYERS = ("colours", "lines", "regions")
"""Names of a result's layers."""
_MOST_REGIONS = 2**16 - 1
"""That a grey picture of 16 bits tells apart."""


def part_translator(
    condition: ConditionExtractor,
    drawing: Float[Tensor, "1 3 Y X"],
    regions: Sequence[Float[Tensor, "1 1 y x"]] | None,
    framing: Callable[[tuple[int, int]], Frame],
    decoded: Callable[[Tensor, Sequence[Tensor] | None], Tensor],
) -> PartFn:
    """Translates parts of a drawing, each as if it were a drawing by itself; the exemplars stay whole.

    Args:
        condition: makes maps of drawings.
        drawing: as it was read, in [-1, 1].
        regions: which part of the drawing takes from each exemplar, where that was said, in the drawing's proportions.
        framing: from a drawing's height and width to its frame.
        decoded: from a condition map and regions, both on their canvas, to the picture on the same.
    """

    def part(box: tuple[float, float, float, float]) -> Tensor | None:
        piece = _cut(drawing, box)
        frame = framing((piece.shape[-2], piece.shape[-1]))
        try:
            wanted = condition.drawing(frame.pad(piece), frame.canvas)
        except ValueError:  # nothing is drawn there
            return None
        cover = regions and [frame.pad(resize(_cut(one, box), frame.picture)) for one in regions]
        return frame.crop(decoded(wanted, cover))

    return part


def _cut(picture: Float[Tensor, "1 c Y X"], box: tuple[float, float, float, float]) -> Float[Tensor, "1 c y x"]:
    """What of a picture is between (top, left, bottom, right), shares of its sides."""
    top, left, bottom, right = (round(share * side) for share, side in zip(box, 2 * picture.shape[-2:], strict=True))
    return picture[..., top : max(bottom, top + 1), left : max(right, left + 1)]


def hinted_within(hinted: Finished, plain: Finished, hints: Hints, frame: Frame) -> Finished:
    """A result with hints; where their regions do not reach, the colours of the one without."""
    if hints.regions is None:
        return hinted
    return replace(plain, colours=confined(hinted.colours, plain.colours, hints, frame))


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
