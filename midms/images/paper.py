"""What a drawing is drawn on: a surface fitted to its colours, and how far each pixel is from it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.precision import without_autocast
from midms.images.reading import resize

COARSE = 48
"""Cells a side on which the paper is fitted."""
ROUNDS = 8
"""Reweightings of the paper fit."""
_ON, _MORE = 0.04, 0.1
"""How near a cell lies to paper that it is on, and how many more must lie on even paper, of all."""
_STRIP = 64
"""Rows of a picture that are compared with the paper at once, to stay within the processor's cache."""


@without_autocast
def contrast_with_paper(picture: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 1 Y X"]:
    """How much each pixel differs from the paper, in the colour that differs most."""
    return torch.cat([(strip - fitted).abs_().amax(1, keepdim=True) for strip, fitted in beside_paper(picture)], -2)


def beside_paper(picture: Float[Tensor, "b 3 Y X"]) -> Iterator[tuple[Tensor, Tensor]]:
    """Strips of a picture from above to below, and their paper."""
    surface = paper(picture)
    y, x = (_steps(side, picture) for side in picture.shape[-2:])
    for strip, at in zip(picture.split(_STRIP, -2), y.split(_STRIP), strict=True):
        yield strip, (surface @ _quadratic(at, x)).view(strip.shape).clamp_(-1, 1)


def paper(picture: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 3 1 6"]:
    """The picture's paper without its strokes: a quadratic surface for each colour, fitted to the least absolute error.

    Iteratively reweighted least squares on a coarse copy; the border counts as much as the rest, for strokes seldom
    reach it. Bold strokes bend the surface towards themselves: where paper of one colour has many more cells on it,
    that is taken.
    """
    height, width = picture.shape[-2:]
    coarse = resize(picture, (min(COARSE, height), min(COARSE, width)))
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
    even = torch.zeros_like(solution)
    even[:, :, 0] = _weighted_median(values, prior)
    shares = [_share(values, (one.mT @ basis)[:, :, 0], prior) for one in (solution, even)]
    bent = (shares[0] + _MORE >= shares[1])[:, None, None, None]
    return torch.where(bent, solution, even).mT


def _weighted_median(values: Float[Tensor, "b 3 n"], weight: Float[Tensor, "1 1 n"]) -> Float[Tensor, "b 3 1"]:
    """The colour that most of the picture and of its border has, channel by channel."""
    ordered, places = values.sort(-1)
    below = weight.expand_as(values).gather(-1, places).cumsum(-1)
    middle = (below < below[..., -1:] / 2).sum(-1, keepdim=True)
    return ordered.gather(-1, middle)


def _share(values: Tensor, fitted: Tensor, weight: Tensor) -> Float[Tensor, "b"]:
    """Of the cells, those that lie on a surface."""
    on = ((values - fitted).abs().amax(1, keepdim=True) < _ON).float()
    return ((on * weight).sum((1, 2)) / weight.sum()).clamp(max=1)


def _steps(count: int, like: Tensor) -> Float[Tensor, "n"]:
    return torch.linspace(-1, 1, count, device=like.device, dtype=like.dtype)


def _quadratic(y: Float[Tensor, "h"], x: Float[Tensor, "w"]) -> Float[Tensor, "6 cells"]:
    """1, x, y, x^2, xy and y^2 at each cell."""
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y]).flatten(1)
