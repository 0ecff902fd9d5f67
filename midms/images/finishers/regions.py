"""Regions of a line drawing: the paper between its lines, with gaps in the lines closed by a ball that is trapped.

`composite` fills them with colours.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

_ROUNDS = 3
"""Balls, each half as wide as the one before."""


def line_distance(lines: Bool[np.ndarray, "Y X"]) -> Float[np.ndarray, "Y X"]:
    """Euclidean distance in pixels to the nearest line pixel; larger than the picture where there is none.

    By OpenCV, as components are, for the reasons of `midms.conditions.strokes.distance_transform`.
    """
    import cv2

    if not lines.any():
        return np.full(lines.shape, sum(lines.shape), np.float32)
    return cv2.distanceTransform((~lines).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def find_regions(
    lines: Bool[np.ndarray, "Y X"], distance: Float[np.ndarray, "Y X"], gap: float, least: float
) -> Int[np.ndarray, "Y X"]:
    """Number the regions from 1; lines are 0.

    A ball as wide as a gap rolls over the paper, and an area that it cannot leave is a region; smaller balls then find
    what it was too wide for (trapped balls: Zhang et al. 2009, "Vectorizing cartoon animations", sec. 4). What is
    left, corners and corridors, belongs to the region that it touches most.

    Args:
        lines: where a line is.
        distance: what `line_distance` gives of them.
        gap: the widest gap in a line that is closed, in pixels.
        least: pixels from which what a smaller ball finds beside a region is one of its own.
    """
    regions = np.zeros(lines.shape, np.int32)
    for ball in range(_ROUNDS):
        radius = gap / 2 ** (ball + 1)
        centres, sizes = _components((distance > max(radius, 1)) & (regions == 0))
        kept = sizes > 0
        kept[np.unique(centres[_grown(regions > 0)])] = False
        kept = (kept | (sizes >= least)) & (np.arange(len(sizes)) > 0)
        if kept.any():
            numbers = np.where(kept, regions.max() + kept.cumsum(), 0).astype(np.int32)
            away, nearest = nearest_region(numbers[centres])
            reached = (away <= radius) & (regions == 0) & ~lines
            regions[reached] = nearest[reached]
    return _attached(regions, (regions == 0) & ~lines)


def _attached(regions: Int[np.ndarray, "Y X"], rest: Bool[np.ndarray, "Y X"]) -> Int[np.ndarray, "Y X"]:
    """The regions with the rest: each piece to the region along which it lies farthest, or by itself."""
    pieces, sizes = _components(rest)
    last = regions.max()
    pairs, lengths = shared_borders(np.where(rest, pieces + last, regions))
    beside = (pairs[:, 0] <= last) & (pairs[:, 1] > last)
    order = np.argsort(lengths[beside], kind="stable")
    numbers = np.zeros(len(sizes), np.int32)
    numbers[pairs[beside][order, 1] - last] = pairs[beside][order, 0]
    alone = (numbers == 0) & (np.arange(len(sizes)) > 0)
    numbers[alone] = last + 1 + np.arange(alone.sum())
    return np.where(rest, numbers[pieces], regions)


def shared_borders(regions: Int[np.ndarray, "Y X"]) -> tuple[Int[np.ndarray, "n 2"], Int[np.ndarray, "n"]]:
    """Which regions lie side by side with no line between them, the lower number first, and along how many pixels."""
    found = [np.zeros((0, 2), np.int32)]
    for one, other in ((regions[1:], regions[:-1]), (regions[:, 1:], regions[:, :-1])):
        beside = (one != other) & (one > 0) & (other > 0)
        found.append(np.sort(np.stack([one[beside], other[beside]], 1), 1))
    return np.unique(np.concatenate(found), axis=0, return_counts=True)


def nearest_region(regions: Int[np.ndarray, "Y X"]) -> tuple[Float[np.ndarray, "Y X"], Int[np.ndarray, "Y X"]]:
    """How far each pixel is from the nearest region, about, in pixels, and which that is; there must be one."""
    import cv2

    away, places = cv2.distanceTransformWithLabels(
        (regions == 0).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    names = np.zeros(places.max() + 1, np.int32)
    inside = regions > 0
    names[places[inside]] = regions[inside]
    return away, names[places]


def _components(mask: Bool[np.ndarray, "Y X"]) -> tuple[Int[np.ndarray, "Y X"], Int[np.ndarray, "n"]]:
    """The mask's components, numbered from 1, and how large each is."""
    import cv2

    _, numbers, figures, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    return numbers, figures[:, cv2.CC_STAT_AREA]


def _grown(mask: Bool[np.ndarray, "Y X"]) -> Bool[np.ndarray, "Y X"]:
    """The mask with its four neighbours."""
    import cv2

    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return cv2.dilate(mask.view(np.uint8), cross).view(bool)
