"""A drawing as it comes, to strokes and the distance to them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.conditions.strokes import distance_transform, edges, line_map, max_filter, resize_area
from midms.networks.precision import exact

COARSE = 48
"""Cells a side on which the paper is fitted."""
ROUNDS = 8
"""Reweightings of the paper fit."""
BOOST = 1.6
"""Makes up for what averaging takes from a stroke narrower than a cell."""
FILL = 6
"""Half the width, in 128ths of the picture, from which a stroke is a filled area."""
STRIP = 64
"""Rows of a picture that are compared with the paper at once, to stay within the processor's cache."""
FAINT = 0.12
"""Least contrast, of a range of 2, that counts as a stroke."""


@dataclass(frozen=True)
class Sketch:
    """Strokes in [0, 1] and the distance to the nearest, clipped and scaled to [0, 1].

    Attributes:
        threshold: ink from which a drawing's distance is measured.
        photo_threshold: strength of a photo's edge from which distance is measured.
    """

    threshold: float = 0.2
    photo_threshold: float = 0.35

    @property
    def channels(self) -> int:
        """Strokes and distance."""
        return 2

    def drawing(self, picture: Float[Tensor, "b 3 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 2 y x"]:
        """The map of a drawing in any colours, light on dark or dark on light, pen or brush, on uneven paper.

        Args:
            picture: in [-1, 1], of any size.
            size: height and width of the map.

        Raises:
            ValueError: a picture has no strokes.
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
        ValueError: a picture has no strokes.
    """
    contrast = _shrink(contrast_with_paper(picture), size)
    flat = contrast.flatten(1)
    scratch = flat.clone()
    level, full = _quantiles(scratch, 0.4, 0.995)
    (spread,) = _quantiles(torch.sub(flat, level, out=scratch).abs_(), 0.4)
    grain = level + 3 * spread
    full = torch.where(full - grain < FAINT, flat.amax(1, keepdim=True), full)
    if bool((full - grain < FAINT).any()):
        raise ValueError("the drawing has no strokes: it is one even colour")
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
    unit = max(1, round(max(ink.shape[-2:]) / 128))
    mask = ink > 0.2
    deep = FILL * unit
    depth = distance_transform(~mask, deep).mul_(deep)
    middle = depth >= max_filter(depth, 2 * unit).sub_(unit)
    filled = distance_transform(depth >= deep, deep + unit) < 1
    return torch.where(torch.where(filled, depth <= 2 * unit, middle), ink, 0)


@exact
def contrast_with_paper(picture: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 1 Y X"]:
    """How much each pixel differs from the paper, in the colour that differs most."""
    surface = paper(picture)
    y, x = (_steps(side, picture) for side in picture.shape[-2:])
    strips = []
    for strip, at in zip(picture.split(STRIP, -2), y.split(STRIP), strict=True):
        fitted = (surface @ _quadratic(at, x)).view(strip.shape).clamp_(-1, 1)
        strips.append((strip - fitted).abs_().amax(1, keepdim=True))
    return torch.cat(strips, -2)


@exact
def paper(picture: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 3 1 6"]:
    """The picture's paper without its strokes: a quadratic surface for each colour, fitted to the least absolute error.

    Iteratively reweighted least squares on a coarse copy; the border counts as much as the rest, for strokes seldom
    reach it.
    """
    height, width = picture.shape[-2:]
    coarse = resize_area(picture, (min(COARSE, height), min(COARSE, width)))
    h, w = coarse.shape[-2:]
    basis = _quadratic(_steps(h, coarse), _steps(w, coarse))
    border = torch.zeros_like(coarse[:1, :1])
    band_y, band_x = max(1, h // 12), max(1, w // 12)
    border[..., :band_y, :] = border[..., -band_y:, :] = border[..., :band_x] = border[..., -band_x:] = 1
    prior = (border / border.mean() + 1).flatten(2)
    values = coarse.flatten(2)
    weight = prior.expand_as(values)
    for _ in range(ROUNDS):
        weighted = weight[:, :, None] * basis
        normal = weighted @ basis.T + 1e-6 * torch.eye(len(basis), device=basis.device, dtype=basis.dtype)
        solution = torch.linalg.solve(normal, weighted @ values[..., None])
        fitted = (solution.mT @ basis)[:, :, 0]
        weight = prior / (values - fitted).abs().clamp(min=0.02)
    return solution.mT


def _steps(count: int, like: Tensor) -> Float[Tensor, "n"]:
    return torch.linspace(-1, 1, count, device=like.device, dtype=like.dtype)


def _quadratic(y: Float[Tensor, "h"], x: Float[Tensor, "w"]) -> Float[Tensor, "6 cells"]:
    """1, x, y, x^2, xy and y^2 at each cell."""
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y]).flatten(1)


def _shrink(planes: Float[Tensor, "b 1 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 1 y x"]:
    """Keep the strongest of each cell where there is something to shrink, interpolate where there is not."""
    least = tuple(min(a, b) for a, b in zip(planes.shape[-2:], size, strict=True))
    small = planes if planes.shape[-2:] == least else F.adaptive_max_pool2d(planes, least)
    return small if least == size else resize_area(small, size)
