"""Lines as maps: the exact distance to the nearest stroke, and edges that look alike at any resolution."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

REACH = 10 / 64
"""How far from a stroke the distance still grows, as a share of the longer side."""


def distance_transform(mask: Bool[Tensor, "b 1 Y X"], radius: int) -> Float[Tensor, "b 1 Y X"]:
    """Exact Euclidean distance to the nearest True pixel, in units of `radius` and clipped there.

    Squared distances are separable lower envelopes of parabolas (Felzenszwalb and Huttenlocher 2012, eq. 2-3); within
    a radius the envelope is a minimum over shifts, taken along columns and then along rows.

    Args:
        mask: True on the strokes; where a picture has none, its distance is 1 everywhere.
        radius: in pixels, at least 1.

    Raises:
        ValueError: the radius is below 1.
    """
    if radius < 1:
        raise ValueError(f"radius must be at least 1 pixel, got {radius}")
    beyond = float(radius * radius)
    squared = torch.where(mask, 0.0, beyond)
    squared = _envelope(_envelope(squared, -2, radius, beyond), -1, radius, beyond)
    return squared.sqrt() / radius


def _envelope(cost: Float[Tensor, "b 1 Y X"], dim: int, radius: int, beyond: float) -> Float[Tensor, "b 1 Y X"]:
    """min over |s| < radius of cost[. + s] + s^2 along `dim`."""
    length = cost.shape[dim]
    best = cost.clone()
    for shift in range(1, min(radius, length)):
        rest = length - shift
        for to, come_from in ((0, shift), (shift, 0)):
            near = best.narrow(dim, to, rest)
            torch.minimum(near, cost.narrow(dim, come_from, rest) + shift * shift, out=near)
    return best.clamp(max=beyond)


def city_block(mask: Bool[Tensor, "b n Y X"]) -> Float[Tensor, "b n Y X"]:
    """City-block distance in pixels to the nearest True pixel; where a plane has none, a million everywhere."""
    distance = torch.where(mask, 0.0, 1e6)
    for dim in (-2, -1):
        ramp = torch.arange(mask.shape[dim], device=mask.device, dtype=distance.dtype)
        ramp = ramp.view(-1, 1) if dim == -2 else ramp
        before = (distance - ramp).cummin(dim).values + ramp
        after = (distance + ramp).flip(dim).cummin(dim).values.flip(dim) - ramp
        distance = torch.minimum(before, after)
    return distance


def edges(image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 1 Y X"]:
    """Colour edges in [0, 1]: Sobel magnitude of the blurred picture, the strongest of red, green, blue and grey.

    Blur and slope are counted in 64ths of the longer side, so that a picture and its enlargement give like maps.

    Args:
        image: in [-1, 1].
    """
    from kornia.filters import gaussian_blur2d, sobel

    scale = max(image.shape[-2:]) / 64
    planes = torch.cat([image, image.mean(1, keepdim=True)], 1)
    # The pixel and the Sobel stencil themselves blur by about half a square pixel of variance.
    sigma = math.sqrt(max(scale * scale - 0.5, 0.01))
    window = 2 * math.ceil(3 * sigma) + 1
    planes = gaussian_blur2d(planes, (window, window), (sigma, sigma), border_type="replicate")
    slope = sobel(planes, eps=1e-12).amax(1, keepdim=True) * scale
    return torch.tanh(slope / FULL_SLOPE)


FULL_SLOPE = 0.33
"""Change of a channel in [-1, 1] over one 64th of the picture at which an edge counts as plain (tanh 1 = 0.76)."""


def line_map(lines: Float[Tensor, "b 1 Y X"], threshold: float) -> Float[Tensor, "b 2 Y X"]:
    """Lines and the distance to the nearest of them: the condition map of sketches and edges.

    Args:
        lines: strength of the line at each pixel, in [0, 1].
        threshold: the strength from which distance is measured.
    """
    radius = max(1, round(REACH * max(lines.shape[-2:])))
    return torch.cat([lines, distance_transform(lines > threshold, radius)], 1)


def resize_area(planes: Float[Tensor, "b c Y X"], size: tuple[int, int]) -> Float[Tensor, "b c y x"]:
    """Average over the area of each new pixel; interpolate where the picture is smaller than `size`."""
    return F.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)
