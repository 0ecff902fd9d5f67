"""A drawing as it comes, to strokes and the distance to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.conditions.strokes import distance_transform, edges, line_map, resize_area

COARSE = 48
"""Cells a side on which the paper is fitted."""
ROUNDS = 8
"""Reweightings of the paper fit."""
BOOST = 1.6
"""Makes up for what averaging takes from a stroke narrower than a cell."""
FILL = 6
"""Half the width, in 128ths of the picture, from which a stroke is a filled area."""
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
        return line_map((BOOST * F.avg_pool2d(fine, 2)).clamp(max=1), self.threshold)

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
    contrast = _shrink((picture - paper(picture)).abs().amax(1, keepdim=True), size)
    flat = contrast.flatten(1)
    level = flat.quantile(0.4, 1, keepdim=True)
    grain = level + 3 * (flat - level).abs().quantile(0.4, 1, keepdim=True)
    full = flat.quantile(0.995, 1, keepdim=True)
    full = torch.where(full - grain < FAINT, flat.amax(1, keepdim=True), full)
    if bool((full - grain < FAINT).any()):
        raise ValueError("the drawing has no strokes: it is one even colour")
    floor = torch.maximum(grain, 0.1 * full)
    return ((flat - floor) / (0.6 * full - floor).clamp(min=FAINT / 2)).clamp(0, 1).view_as(contrast)


def thin(ink: Float[Tensor, "b 1 Y X"]) -> Float[Tensor, "b 1 Y X"]:
    """Broad strokes reduced to their middle, filled areas to their outline; fine strokes stay as they are.

    A pixel of a stroke stays if it is about as deep inside as any near it.
    """
    unit = max(1, round(max(ink.shape[-2:]) / 128))
    mask = ink > 0.2
    deep = FILL * unit
    depth = distance_transform(~mask, deep) * deep
    middle = depth >= F.max_pool2d(depth, 4 * unit + 1, 1, 2 * unit) - unit
    filled = distance_transform(depth >= deep, deep + unit) < 1
    return torch.where(torch.where(filled, depth <= 2 * unit, middle), ink, 0)


def paper(picture: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 3 Y X"]:
    """The picture's paper without its strokes: a quadratic surface for each colour, fitted to the least absolute error.

    Iteratively reweighted least squares on a coarse copy; the border counts as much as the rest, for strokes seldom
    reach it.
    """
    b, c, height, width = picture.shape
    coarse = resize_area(picture, (min(COARSE, height), min(COARSE, width)))
    h, w = coarse.shape[-2:]
    basis = _quadratic(h, w, coarse)
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
    return (solution.mT @ _quadratic(height, width, picture)).view(b, c, height, width).clamp(-1, 1)


def _quadratic(height: int, width: int, like: Tensor) -> Float[Tensor, "6 cells"]:
    y = torch.linspace(-1, 1, height, device=like.device, dtype=like.dtype)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width, device=like.device, dtype=like.dtype)[None].expand(height, width)
    return torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y]).flatten(1)


def _shrink(planes: Float[Tensor, "b 1 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 1 y x"]:
    """Keep the strongest of each cell where there is something to shrink, interpolate where there is not."""
    small = F.adaptive_max_pool2d(planes, [min(a, b) for a, b in zip(planes.shape[-2:], size, strict=True)])
    return resize_area(small, size)
