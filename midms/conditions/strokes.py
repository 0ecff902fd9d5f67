"""Lines as maps: the exact distance to the nearest stroke, and edges that are alike at any resolution."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from midms.core.torch_defaults import defaults

REACH = 10 / 64
"""How far from a stroke the distance still grows, as a share of the longer side."""
APART = 16
"""Pixels that are laid beside a plane."""


def distance_transform(mask: Bool[Tensor, "b 1 Y X"], radius: int) -> Float[Tensor, "b 1 Y X"]:
    """Exact Euclidean distance to the nearest True pixel, in units of `radius` and clipped there.

    By OpenCV: a drawing of 1024 x 1024 pixels takes one CPU thread 21 ms (scipy.ndimage 90), its components with their
    areas 10 ms (7); importing it takes 0.02 s (0.23), and midms reads drawings by it anyway, while it needs no SciPy.

    Args:
        mask: True on the strokes; where a picture has none, its distance is 1 everywhere.
        radius: in pixels, at least 1.

    Raises:
        ValueError: the radius is below 1.
    """
    import cv2

    if radius < 1:
        raise ValueError(f"radius must be at least 1 pixel, got {radius}")
    # Where rows lie a power of two apart, columns share few lines of a processor's cache: twice as slow.
    paper = F.pad(~mask, (0, APART), value=True).byte()
    distance = each_plane(lambda plane: cv2.distanceTransform(plane, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), paper)
    distance = distance[..., : mask.shape[-1]]
    # Squares are whole numbers; from them the roots are the same, however OpenCV rounds its own.
    return distance.square_().round_().clamp_(max=radius * radius).sqrt_().div_(radius)


def max_filter(planes: Float[Tensor, "b 1 Y X"], reach: int) -> Float[Tensor, "b 1 Y X"]:
    """The largest value within `reach` pixels to either side, above and below."""
    import cv2

    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return each_plane(lambda plane: cv2.dilate(plane, window), planes)


def each_plane(
    made: Callable[[np.ndarray], np.ndarray], planes: Shaped[Tensor, "b 1 Y X"]
) -> Shaped[Tensor, "b 1 Y X"]:
    """What a function of OpenCV makes of each plane, where the planes are."""
    found = [torch.from_numpy(made(plane))[None, None] for plane in planes.cpu()[:, 0].numpy()]
    return (found[0] if len(found) == 1 else torch.cat(found)).to(planes.device)


def city_block(mask: Bool[Tensor, "b n Y X"]) -> Float[Tensor, "b n Y X"]:
    """City-block distance in pixels to the nearest True pixel; where a plane has none, a million everywhere.

    By OpenCV, for the reasons of `distance_transform`.
    """
    import cv2

    planes = (~mask).flatten(0, 1)[:, None].byte()
    distance = each_plane(lambda plane: cv2.distanceTransform(plane, cv2.DIST_L1, 3), planes)
    return distance.reshape(mask.shape).clamp_(max=1e6)


@defaults()
def edges(image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 1 Y X"]:
    """Colour edges in [0, 1]: Sobel magnitude of the blurred picture, the strongest of red, green, blue and grey.

    Blur and slope are counted in 64ths of the longer side, so that a picture and its enlargement give like maps; of a
    picture larger than `FINEST` they are taken from its reduction.

    Args:
        image: in [-1, 1].
    """
    from kornia.filters import gaussian_blur2d, sobel

    height, width = image.shape[-2:]
    scale = max(height, width) / 64
    if max(height, width) > FINEST:
        share = FINEST / max(height, width)
        reduced = edges(resize_area(image, (max(1, round(share * height)), max(1, round(share * width)))))
        return resize_area(reduced, (height, width)).clamp(0, 1)
    planes = torch.cat([image, image.mean(1, keepdim=True)], 1)
    # The pixel and the Sobel stencil themselves blur by about half a square pixel of variance.
    sigma = math.sqrt(max(scale * scale - 0.5, 0.01))
    window = 2 * math.ceil(3 * sigma) + 1
    planes = gaussian_blur2d(planes, (window, window), (sigma, sigma), border_type="replicate")
    slope = sobel(planes, eps=1e-12).amax(1, keepdim=True) * scale
    return torch.tanh(slope / FULL_SLOPE)


FINEST = 512
"""Pixels of the longer side beyond which a blur of a 64th of it shows no more."""
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
