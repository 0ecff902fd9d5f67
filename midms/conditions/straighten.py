"""The sheet of paper in a photo of a drawing: where it is, and the photo cut and straightened to it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from midms.conditions.strokes import resize_area
from midms.core.types import Page, scaling
from midms.images.paper import contrast_with_paper

_WORK = 320
"""Pixels of the longer side at which a sheet is looked for."""
STROKE = 1 / 36
"""Width of what is no part of the sheet's outline, such as strokes and ruled lines, as a share of the longer side."""
_STEPS = (4, 8, 14, 24, 40)
"""Changes between neighbouring pixels, of 255, that may be an outline."""
LEAST = 0.1
"""Share of the photo that a sheet covers at least."""
_MOST = 0.97
"""Share of the photo beyond which a sheet is the whole photo."""
BARE = 0.4
"""Share of a sheet that is bare of broad strokes."""
CONTRAST = 14
"""Change of colour, of 255, across the outline."""
NEAR, _FAR, _WIDE = 3, 8, 48
"""How far inside and outside the outline colours are compared, in pixels."""
SHARP = 0.55
"""Share of the change over `_FAR` pixels that an outline has over `NEAR`."""
SURE = 0.9
"""Share of the outline that must have it, and of the surroundings that must not look like the sheet."""
_STRIP = 0.3
"""Share of the photo that the desk has at most, where it shows on one side alone."""
GRAIN = 0.5
"""Share of a photo's neighbouring pixels that differ at least; a drawing made on a screen is even."""
PHOTO = 0.2
"""The same from which a drawing that does not look like paper may be a photo of more than its sheet."""
_CELLS, UNLIKE, PATCHY = 48, 0.15, 0.4
"""Cells a side, contrast of one that is not paper, of a range of 2, and share of them beyond which a sheet is doubtful:
of drawings 0.1 to 0.2 are not paper, of photos with surroundings or a hard shadow 0.5 to 0.9."""
MIXED = (
    "what is around the sheet of paper, or a shadow on it, may be read as strokes: crop the photo to the drawing, "
    "see the strokes as read"
)
"""What is said of such a photo."""
NARROWEST = 3
"""Greatest ratio of a sheet's sides."""
FOCAL = 0.8
"""Focal length of a photo in units of its longer side: 28 mm on film, about what phones have."""
INSET = 0.012
"""Share of a side that is cut off, where the outline casts its shadow."""


def straightened(photo: Float[Tensor, "1 3 Y X"]) -> Page:
    """The sheet alone, as seen from above, in its own proportions; the photo itself where no sheet is clearly there.

    Args:
        photo: in [-1, 1].
    """
    import cv2

    corners = _outline(photo)
    if corners is None:
        return Page(photo, scaling(1, 1), _doubts(photo, photo))
    height, width = _extent(corners, (photo.shape[-2], photo.shape[-1]))
    if max(height, width) > NARROWEST * min(height, width):
        return Page(photo, scaling(1, 1), _doubts(photo, photo))
    inset = INSET * min(height, width)
    across, down = width + inset, height + inset
    target = np.array([(-inset, -inset), (across, -inset), (across, down), (-inset, down)], np.float32)
    turn = cv2.getPerspectiveTransform(corners, target)
    pixels = photo[0].permute(1, 2, 0).cpu().contiguous().numpy()
    found = cv2.warpPerspective(pixels, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    sheet = torch.from_numpy(found).permute(2, 0, 1)[None].contiguous().to(photo)
    return Page(sheet, torch.from_numpy(np.linalg.inv(turn)), _doubts(photo, sheet))


def _doubts(photo: Float[Tensor, "1 3 Y X"], sheet: Float[Tensor, "1 3 y x"]) -> tuple[str, ...]:
    """What is said of a photo whose sheet does not look like paper for the most part."""
    coarse = contrast_with_paper(resize_area(sheet, (_CELLS, _CELLS)))
    return (MIXED,) if _grain(photo) > PHOTO and float((coarse > UNLIKE).float().mean()) > PATCHY else ()


def _grain(photo: Float[Tensor, "1 3 Y X"]) -> float:
    """Share of neighbouring pixels that differ, at 8 bits."""
    return float((photo.diff(dim=-1).abs().amax(1) > 1 / 255).float().mean())


def _outline(photo: Float[Tensor, "1 3 Y X"]) -> Float[np.ndarray, "4 2"] | None:
    """The corners (x, y) of the sheet in pixels, clockwise from the upper left; None where none is clearly there."""
    import cv2

    height, width = photo.shape[-2:]
    scale = min(1.0, _WORK / max(height, width))
    size = max(8, round(width * scale)), max(8, round(height * scale))
    pixels = ((photo[0].permute(1, 2, 0).cpu().numpy() + 1) * 127.5).round().astype(np.uint8)
    small = cv2.GaussianBlur(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), (3, 3), 0)
    fewest = 1 if _grain(photo) > GRAIN else 2
    found = []
    for plain in _unruled(small):
        strokes = cv2.absdiff(small, plain).max(2)
        for one in _quadrilaterals(plain):
            if _holds(one, strokes):
                strip = cv2.contourArea(one) > (1 - _STRIP) * plain[..., 0].size
                found.append((_evidence(one, plain, fewest if strip else 2), one))
    evidence, corners = max(found, key=lambda one: one[0], default=(0.0, None))
    if corners is None or evidence < SURE:
        return None
    return (corners / size * (width, height)).astype(np.float32)


def _unruled(small: np.ndarray) -> Iterator[np.ndarray]:
    """The picture without its dark strokes, and without its light ones."""
    import cv2

    width = 2 * max(1, round(max(small.shape[:2]) * STROKE / 2)) + 1
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    for operation in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN):
        yield cv2.morphologyEx(small, operation, brush)


def _quadrilaterals(plain: np.ndarray) -> Iterator[np.ndarray]:
    """Corners of even areas that are nearly quadrilaterals.

    By OpenCV, for the reasons of `midms.conditions.strokes.distance_transform`.
    """
    import cv2

    change = cv2.morphologyEx(plain, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(2)
    area = change.size
    for step in _STEPS:
        count, labels, sizes, _ = cv2.connectedComponentsWithStats((change < step).astype(np.uint8), connectivity=4)
        for label in range(1, count):
            if sizes[label, cv2.CC_STAT_AREA] < LEAST * area / 2:
                continue
            contours, _ = cv2.findContours((labels == label).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            hull = cv2.convexHull(max(contours, key=cv2.contourArea))
            if len(hull) < 4:
                continue
            corners = cv2.approxPolyN(hull, 4).reshape(-1, 2).astype(np.float32)
            inside, filled = cv2.contourArea(hull), sizes[label, cv2.CC_STAT_AREA]
            fits = len(corners) == 4 and inside > SURE * cv2.contourArea(corners) and filled > BARE * inside
            if fits and LEAST * area < inside < _MOST * area:
                yield _clockwise(corners)


def _clockwise(corners: np.ndarray) -> np.ndarray:
    """From the upper left on."""
    centre = corners.mean(0)
    ordered = corners[np.argsort(np.arctan2(*(corners - centre).T[::-1]))]
    return np.roll(ordered, -int(ordered.sum(1).argmin()), 0)


def _holds(corners: np.ndarray, strokes: np.ndarray) -> bool:
    """Whether most strokes as strong as those in the quadrilateral lie in it."""
    import cv2

    inside = cv2.fillConvexPoly(np.zeros_like(strokes), corners.round().astype(np.int32), 1)
    outside = cv2.dilate(inside, np.ones((4 * NEAR + 1, 4 * NEAR + 1), np.uint8)) == 0
    strong = strokes > np.percentile(strokes[inside > 0], 99.5) / 2
    return 2 * int((strong & outside).sum()) < int((strong & (inside > 0)).sum())


def _evidence(corners: np.ndarray, plain: np.ndarray, fewest: int) -> float:
    """Of the side where it is least, the share of the outline and its surroundings whose colour is not the sheet's.

    A slow change is a shadow. Sides along the photo's border say nothing; with fewer than `fewest` others no sheet is
    known for sure.
    """
    limit = (plain.shape[1] - 1, plain.shape[0] - 1)
    shares = []
    for start, end in zip(corners, np.roll(corners, -1, 0), strict=True):
        along = (end - start) / np.linalg.norm(end - start)
        outwards = np.array([along[1], -along[0]])
        places = start + np.linspace(0.04, 0.96, 48)[:, None] * (end - start)
        beyond = np.stack([places + distance * outwards for distance in (NEAR, *range(_FAR, _WIDE, NEAR))])
        shown = np.all((beyond >= 0) & (beyond <= limit), axis=2)
        if shown[1].mean() < 0.25:
            continue
        inside = _colours(plain, places - NEAR * outwards)
        change = np.abs(_colours(plain, beyond) - inside).max(2)
        slope = np.abs(_colours(plain, beyond[1]) - _colours(plain, places - _FAR * outwards)).max(1)
        sharp = (change[0] > CONTRAST) & (_around(change[0]) > SHARP * _around(slope))
        shares.append(min(sharp[shown[0]].mean(), (change > CONTRAST)[shown].mean()))
    return float(min(shares)) if len(shares) >= fewest else 0.0


def _around(values: np.ndarray) -> np.ndarray:
    """Means over a third of a side, for what lies around the sheet may be patterned."""
    ones = np.ones(17)
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")


def _colours(plain: np.ndarray, places: np.ndarray) -> np.ndarray:
    """At points (x, y), of those beyond the border the nearest."""
    x, y = np.moveaxis(places.round().astype(int), -1, 0)
    return plain[y.clip(0, plain.shape[0] - 1), x.clip(0, plain.shape[1] - 1)].astype(int)


def _extent(corners: Float[np.ndarray, "4 2"], shape: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the sheet in pixels: as large as its longest sides, in the proportions seen from above.

    The columns of the homography from the sheet are its sides as a camera of that focal length sees them (Zhang and He
    2007, eq. 11 to 20, with the focal length given).
    """
    import cv2

    turn = cv2.getPerspectiveTransform(np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32), corners).astype(float)
    focal = FOCAL * max(shape)
    camera = np.array([[focal, 0, shape[1] / 2], [0, focal, shape[0] / 2], [0, 0, 1]])
    across, down = np.linalg.norm(np.linalg.solve(camera, turn)[:, :2], axis=0)
    sides = np.linalg.norm(np.roll(corners, -1, 0) - corners, axis=1)
    width, height = max(sides[0], sides[2]), max(sides[1], sides[3])
    scale = max(width / across, height / down)
    return max(8, round(scale * down)), max(8, round(scale * across))
