"""Canny's edges with the conventions of scikit-image, which the released models were trained on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def canny(
    grey: Float[Tensor, "b 1 Y X"], low: float = 0.1, high: float = 0.2, sigma: float = 1.0
) -> Bool[Tensor, "b 1 Y X"]:
    """Edges one pixel wide (Canny 1986): blur, slope, thinning along the slope, hysteresis.

    Pixel for pixel `skimage.feature.canny` of an 8-bit picture, but for ties that rounding decides. The outermost
    pixels are never edges.

    Args:
        grey: in [0, 1].
        low: weakest slope of an edge, in units of the 3 x 3 Sobel stencil: a step from black to white has 4.
        high: slope that one pixel of a connected edge must reach.
        sigma: of the blur, in pixels.
    """
    smooth = _blurred(grey, sigma)
    padded = F.pad(smooth, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 2:] - padded[..., :-2]
    slope_x = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
    down = padded[..., 2:, :] - padded[..., :-2, :]
    slope_y = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
    magnitude = (slope_x.square() + slope_y.square()).sqrt()
    weak = _summit(magnitude, slope_x, slope_y) & (magnitude >= low)
    weak &= F.pad(torch.ones_like(weak[..., 1:-1, 1:-1]), (1, 1, 1, 1))
    return _connected(weak, weak & (magnitude >= high))


def _blurred(grey: Float[Tensor, "b 1 Y X"], sigma: float) -> Float[Tensor, "b 1 Y X"]:
    """Gaussian blur to four sigma; what lies beyond the border weighs nothing."""
    reach = int(4 * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1, device=grey.device, dtype=grey.dtype)
    kernel = torch.exp(-offsets.square() / (2 * sigma * sigma))
    kernel = kernel / kernel.sum()

    def blur(planes: Tensor) -> Tensor:
        rows = F.conv2d(planes, kernel.view(1, 1, -1, 1), padding=(reach, 0))
        return F.conv2d(rows, kernel.view(1, 1, 1, -1), padding=(0, reach))

    return blur(grey) / blur(torch.ones_like(grey[:1]))


def _summit(
    magnitude: Float[Tensor, "b 1 Y X"], slope_x: Float[Tensor, "b 1 Y X"], slope_y: Float[Tensor, "b 1 Y X"]
) -> Bool[Tensor, "b 1 Y X"]:
    """No smaller than one step up and down the slope, interpolated between the two neighbours on either side."""
    around = F.unfold(magnitude, 3, padding=1).unflatten(-1, magnitude.shape[-2:])
    x, y = slope_x.abs(), slope_y.abs()
    steep = torch.maximum(x, y)
    aside = torch.minimum(x, y) / torch.where(steep > 0, steep, 1)
    right, below = torch.where(slope_x < 0, -1, 1), torch.where(slope_y < 0, -1, 1)
    straight = torch.where(x > y, right, 3 * below)
    diagonal = right + 3 * below

    def neighbour(side: int) -> Tensor:
        near, far = (around.gather(1, 4 + side * step) for step in (straight, diagonal))
        return near * (1 - aside) + far * aside

    return (neighbour(1) <= magnitude) & (neighbour(-1) <= magnitude)


def _connected(weak: Bool[Tensor, "b 1 Y X"], seeds: Bool[Tensor, "b 1 Y X"]) -> Bool[Tensor, "b 1 Y X"]:
    """Weak pixels that a chain of weak neighbours, diagonal ones too, joins to a seed."""
    reached = seeds
    while True:
        grown = (F.max_pool2d(reached.float(), 3, 1, 1) > 0) & weak
        if torch.equal(grown, reached):
            return reached
        reached = grown
