"""Where in the exemplar a match takes each pixel from, and the points that tell most of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from midms.pictures.frame import Frame
from midms.protocols import Match
from midms.types import cells


def pixel_flow(match: Match, frame: Frame, exemplars: Sequence[Frame], like: Tensor) -> Float[Tensor, "b 2 Y X"]:
    """What to add to each pixel's (x, y) to find where in the exemplars, side by side, a match takes it from.

    Args:
        match: rows are cells of the condition's canvas, columns cells of the exemplars' canvases side by side.
        frame: of the condition; the pixels are those of its picture.
        exemplars: frames of the exemplars; their pictures are what lies side by side.
        like: gives device and dtype.
    """
    whole = max(one.canvas[0] for one in exemplars), sum(one.canvas[1] for one in exemplars)
    place = match.apply(_uncovered(_centres(match.transpose().grid, whole, like), exemplars))
    top, left = frame.corner
    corner = like.new_tensor([left, top]).view(1, 2, 1, 1)
    return frame.crop(enlarge(place - _centres(match.grid, frame.canvas, like) + corner, frame.canvas))


def _uncovered(places: Float[Tensor, "1 2 h w"], frames: Sequence[Frame]) -> Float[Tensor, "1 2 h w"]:
    """Places on canvases side by side, as places on their pictures side by side; what is off a picture, at its edge."""
    x, y = places.split(1, 1)
    across, down, canvas_left, picture_left = x, y, 0, 0
    for frame in frames:
        (top, left), (height, width) = frame.corner, frame.picture
        here = x > canvas_left - 0.5
        across = torch.where(here, (x - canvas_left - left).clamp(0, width - 1) + picture_left, across)
        down = torch.where(here, (y - top).clamp(0, height - 1), down)
        canvas_left, picture_left = canvas_left + frame.canvas[1], picture_left + width
    return torch.cat([across, down], 1)


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
