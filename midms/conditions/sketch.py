"""A drawing as it comes, to strokes and the distance to them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.conditions.ruled import without_ruling
from midms.conditions.straighten import straightened
from midms.conditions.strokes import distance_transform, edges, line_map, max_filter, resize_area
from midms.core.errors import NothingDrawn
from midms.core.limits import number
from midms.core.types import Page, scaling
from midms.images.paper import contrast_with_paper

BOOST = 1.6
"""Makes up for what averaging takes from a stroke narrower than a cell."""
_FILL = 6
"""Half the width, in 128ths of the picture, from which a stroke is a filled area."""
FAINT = 0.12
"""Least contrast, of a range of 2, that counts as a stroke."""


@dataclass(frozen=True)
class Sketch:
    """Strokes in [0, 1] and the distance to the nearest, clipped and scaled to [0, 1].

    To choose for drawings of any kind: pens, pencils, scans, photos of paper.

    Attributes:
        threshold: ink from which a drawing's distance is measured.
        photo_threshold: strength of a photo's edge from which distance is measured.
        paper: whether, of a photo of a drawing, the sheet is cut out and its ruled lines are taken away.
    """

    threshold: float = 0.2
    photo_threshold: float = 0.35
    paper: bool = True

    def __post_init__(self) -> None:
        number(0, 1, threshold=self.threshold, photo_threshold=self.photo_threshold)
        if not isinstance(self.paper, bool):
            raise ValueError(f"paper must be True or False, got {self.paper!r}")

    @property
    def channels(self) -> int:
        """Strokes and distance."""
        return 2

    def page(self, picture: Float[Tensor, "1 3 Y X"]) -> Page:
        """The sheet of paper in a photo of a drawing, as seen from above, without its ruled lines.

        A drawing without a desk around it and without ruled lines is given back as it is.
        """
        if not self.paper:
            return Page(picture, scaling(1, 1))
        cut = straightened(picture)
        bare = without_ruling(cut.picture)
        return Page(bare.picture, cut.home @ bare.home, cut.warnings + bare.warnings)

    def drawing(self, picture: Float[Tensor, "b 3 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 2 y x"]:
        """The map of a drawing in any colours, light on dark or dark on light, pen or brush, on uneven paper.

        Args:
            picture: in [-1, 1], of any size.
            size: height and width of the map.

        Raises:
            NothingDrawn: a picture has no strokes.
        """
        return self.strokes(ink(picture, (2 * size[0], 2 * size[1])), size)

    def strokes(self, ink: Float[Tensor, "b 1 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 2 y x"]:
        """The map of strokes whose ink is known, in [0, 1], best at twice `size` or more."""
        fine = thin(_shrink(ink, (2 * size[0], 2 * size[1])))
        return line_map(F.avg_pool2d(fine, 2).mul_(BOOST).clamp_(max=1), self.threshold)

    def photo(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 2 Y X"]:
        """The same kind of map from the edges of a photo in [-1, 1]."""
        return line_map(edges(image), self.photo_threshold)


def ink(picture: Float[Tensor, "b 3 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 1 y x"]:
    """How much each cell differs from the paper, 0 paper to 1 full stroke.

    Neither colour nor polarity is assumed: the paper is what most of the picture, and of its border, looks like.

    Args:
        picture: in [-1, 1].
        size: height and width of the result.

    Raises:
        NothingDrawn: a picture has no strokes.
    """
    contrast = _shrink(contrast_with_paper(picture), size)
    flat = contrast.flatten(1)
    scratch = flat.clone()
    level, full = _quantiles(scratch, 0.4, 0.995)
    (spread,) = _quantiles(torch.sub(flat, level, out=scratch).abs_(), 0.4)
    grain = level + 3 * spread
    full = torch.where(full - grain < FAINT, flat.amax(1, keepdim=True), full)
    if bool((full - grain < FAINT).any()):
        found = 50 * float((full - grain).min().clamp(min=0))
        raise NothingDrawn(
            f"the drawing has no strokes: contrast with its paper {found:.1f} %, expected {50 * FAINT:g} % on"
        )
    floor = torch.maximum(grain, 0.1 * full)
    return flat.sub_(floor).div_((0.6 * full - floor).clamp(min=FAINT / 2)).clamp_(0, 1).view_as(contrast)


def _quantiles(values: Float[Tensor, "b n"], *shares: float) -> list[Float[Tensor, "b 1"]]:
    """`torch.quantile` to the bit, for any n, in place: the values are reordered."""
    ranks = [values.new_tensor(share).item() * (values.shape[1] - 1) for share in shares]
    places = [(math.floor(rank), math.ceil(rank)) for rank in ranks]
    order = values.detach().cpu()
    order.numpy().partition(sorted({place for pair in places for place in pair}), axis=1)
    found = [torch.lerp(order[:, [a]], order[:, [b]], rank - a) for rank, (a, b) in zip(ranks, places, strict=True)]
    return [quantile.to(values.device) for quantile in found]


def thin(ink: Float[Tensor, "b 1 Y X"]) -> Float[Tensor, "b 1 Y X"]:
    """Broad strokes reduced to their middle, filled areas to their outline; fine strokes stay as they are.

    A pixel of a stroke stays if it is about as deep inside as any near it.
    """
    pen = max(1, round(max(ink.shape[-2:]) / 128))
    mask = ink > 0.2
    deep = _FILL * pen
    depth = distance_transform(~mask, deep).mul_(deep)
    middle = depth >= max_filter(depth, 2 * pen).sub_(pen)
    filled = distance_transform(depth >= deep, deep + pen) < 1
    return torch.where(torch.where(filled, depth <= 2 * pen, middle), ink, 0)


def _shrink(planes: Float[Tensor, "b 1 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 1 y x"]:
    """Keep the strongest of each cell where there is something to shrink, interpolate where there is not."""
    least = tuple(min(a, b) for a, b in zip(planes.shape[-2:], size, strict=True))
    small = planes if planes.shape[-2:] == least else F.adaptive_max_pool2d(planes, least)
    return small if least == size else resize_area(small, size)
