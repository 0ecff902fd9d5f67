"""Where in the exemplar a match takes each pixel from, and the points that tell most of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from midms.protocols import Match
from midms.types import cells


def pixel_flow(
    match: Match, shape: tuple[int, int], exemplar_shape: tuple[int, int], like: Tensor
) -> Float[Tensor, "b 2 Y X"]:
    """What to add to each pixel's (x, y) to find where in the exemplar a match takes it from.

    Args:
        match: rows are cells of the condition, columns cells of the exemplar.
        shape: height and width of the condition in pixels.
        exemplar_shape: height and width of the exemplar in pixels.
        like: gives device and dtype.
    """
    place = match.apply(_centres(match.transpose().grid, exemplar_shape, like))
    return enlarge(place - _centres(match.grid, shape, like), shape)


def _centres(grid: tuple[int, int], shape: tuple[int, int], like: Tensor) -> Float[Tensor, "1 2 h w"]:
    """(x, y) of the middle of each cell, in pixels of a picture of `shape`."""
    cell = like.new_tensor([shape[1] / grid[1], shape[0] / grid[0]]).view(1, 2, 1, 1)
    return (cells(grid[0], grid[1], like) + 0.5) * cell - 0.5


def enlarge(planes: Float[Tensor, "b c h w"], shape: tuple[int, int]) -> Float[Tensor, "b c Y X"]:
    """What each cell has, at each pixel."""
    return F.interpolate(planes, shape, mode="bilinear", align_corners=False)


def telling_points(
    confidence: Float[Tensor, "Y X"], condition: Float[Tensor, "k Y X"], count: int
) -> Int[Tensor, "n 2"]:
    """(x, y) of pixels that are trusted, lie where the condition has something to say, and are far from each other.

    Args:
        confidence: in [0, 1].
        condition: the map; it says something where it varies.
        count: how many points, or fewer if no more are trusted.
    """
    low, high = -F.max_pool2d(-condition, 3, 1, 1), F.max_pool2d(condition, 3, 1, 1)
    interest = (confidence * (high - low).sum(0) ** 2).flatten()
    pixels = cells(confidence.shape[0], confidence.shape[1], interest)[0].flatten(1).T
    distance = torch.full_like(interest, float(max(confidence.shape)))
    chosen: list[int] = []
    for _ in range(count):
        best = int((interest * distance).argmax())
        if interest[best] * distance[best] <= 0:
            break
        chosen.append(best)
        distance = torch.minimum(distance, (pixels - pixels[best]).norm(dim=1))
    return pixels[chosen].long()


def correspondences(
    points: Int[Tensor, "n 2"], flow: Float[Tensor, "2 Y X"], exemplar_shape: tuple[int, int]
) -> Float[Tensor, "n 4"]:
    """(x, y) of points and (x, y) of where a flow finds them in the exemplar."""
    x, y = points.T
    height, width = exemplar_shape
    found = (points + flow[:, y, x].T).clamp(min=0).minimum(flow.new_tensor([width - 1, height - 1]))
    return torch.cat([points.to(flow), found], 1)
