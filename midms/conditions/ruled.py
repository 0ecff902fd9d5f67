"""Ruled and squared paper: its lines are known by their even spacing, and taken out from between the strokes."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from midms.conditions.strokes import resize_area
from midms.core.types import Page, scaling
from midms.images.paper import contrast_with_paper

_Line = tuple[float, float]
"""rho and theta: x cos(theta) + y sin(theta) = rho, in pixels."""
Track = Float[np.ndarray, "n 2"]
"""Points (x, y) along a line as it was drawn."""

_WORK = 1024
"""Pixels of the longer side at which lines are looked for."""
AROUND = 41
"""Pixels a side from which the colour of the paper below a line is taken."""
_WIDEST = 7
"""Pixels across the widest ruled line."""
FAINTEST = 0.03
"""Contrast, of a range of 2, of the faintest line with what lies beside it."""
TURN = math.radians(0.5)
"""Step between the directions that are tried."""
ALIKE = math.radians(6)
"""Greatest turn between lines of one ruling, which perspective spreads."""
COVERED, _WHOLE = 0.6, 0.9
"""Share of its length on which a line of a ruling, and a margin, is seen."""
_FEWEST = 6
"""Lines of a ruling, at least."""
UNEVEN = 0.15
"""Greatest departure from even spacing, in units of it."""
DARKER = 1.5
"""How much more contrast than a ruled line a stroke across it has, at which it is known by that alone."""
_MOST = 400
"""Lines that are looked at, those with most pixels first."""
DRAWN, PEN = 75, 99
"""Percentiles of a ruled drawing's contrast: above the first there are lines, at the second it is the pen's."""
REPEATED = 0.35
"""Autocorrelation from which rows or columns are those of a ruling; of drawings it is 0.25 at most."""
_SMALLEST = 256
"""Pixels a side from which a strip along the border shows enough of it."""
SLOW = 20
"""Pixels to either side over which a slow change is taken."""
LEFT = "evenly spaced lines of the paper may be left in the drawing: see the strokes as read"
"""What is said where not all of a ruling could be taken away."""
TRACE = 0.1
"""Share of that contrast below which there is nothing to take away."""
PIECE = 32
"""Pixels of a line over which its course is followed."""


def without_ruling(drawing: Float[Tensor, "1 3 Y X"]) -> Page:
    """A drawing without the lines from edge to edge that are evenly spaced; itself, if it has none.

    Strokes across them stay, as do single lines and whatever ends within the picture. A margin goes with its ruling.

    Args:
        drawing: in [-1, 1]; where it has such lines, it is brought to `_WORK` pixels.
    """
    import cv2

    share = min(1.0, _WORK / max(drawing.shape[-2:]))
    small = (
        drawing
        if share == 1
        else resize_area(drawing, (round(share * drawing.shape[-2]), round(share * drawing.shape[-1])))
    )
    contrast = contrast_with_paper(small)[0, 0].cpu().numpy()
    rulings = ruled(contrast)
    if not rulings and not regular(contrast):
        return Page(drawing, scaling(1, 1))
    broad = cv2.morphologyEx(contrast, cv2.MORPH_OPEN, np.ones((4 * _WIDEST + 1, 4 * _WIDEST + 1), np.uint8))
    narrow = contrast - broad
    covered, usual, darkest = _along(rulings, narrow) if rulings else (np.zeros(narrow.shape, bool), FAINTEST, 0.0)
    lightest = max(darkest, _lightest(narrow))
    if np.percentile(narrow, PEN) > lightest:
        pen = cv2.dilate((contrast > lightest).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        covered = ~pen & (narrow > TRACE * usual)
    strokes = contrast > usual
    pixels = small[0].permute(1, 2, 0).cpu().contiguous().numpy()
    bare = (~covered & ~strokes).astype(np.float32)
    window = (AROUND, AROUND)
    weight = cv2.blur(bare, window)[..., None]
    paper = cv2.blur(pixels * bare[..., None], window) / np.maximum(weight, 1e-6)
    filled = np.where(covered[..., None] & (weight > 1e-3), paper, pixels)
    home = scaling(drawing.shape[-1] / small.shape[-1], drawing.shape[-2] / small.shape[-2])
    bare = torch.from_numpy(filled).permute(2, 0, 1)[None].contiguous().to(drawing)
    left = regular(contrast_with_paper(bare)[0, 0].cpu().numpy())
    return Page(bare, home, (LEFT,) if left else ())


def regular(plane: Float[np.ndarray, "Y X"]) -> bool:
    """Whether rows or columns repeat themselves evenly, in the middle as at both ends: ruling along the borders.

    Found by the autocorrelation of their means, which needs no line to be seen.
    """
    level = np.minimum(plane, 0.5)
    for across in (level, level.T):
        length, width = across.shape
        if min(length, width) < _SMALLEST:
            continue
        parts = [
            *np.array_split(across, 4, 1),
            across[:, width // 50 : width // 14],
            across[:, -width // 14 : -width // 50],
        ]
        *inner, first, last = (_repeats(part.mean(1)) for part in parts)
        even = np.minimum(np.median(inner, 0), np.minimum(first, last))
        peaks = np.flatnonzero((even[1:-1] >= even[:-2]) & (even[1:-1] >= even[2:]) & (even[1:-1] > REPEATED)) + 1
        if any(even[2 * peak - 1 : 2 * peak + 2].max(initial=0) > REPEATED for peak in peaks if peak > 3):
            return True
    return False


def _repeats(profile: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m"]:
    """Autocorrelation of a profile without its slow changes, at shifts of up to an eighth of it."""
    around = np.convolve(np.pad(profile, SLOW, "edge"), np.ones(2 * SLOW + 1) / (2 * SLOW + 1), "valid")
    quick = profile - around
    both = np.correlate(quick, quick, "full")[len(quick) - 1 :]
    repeats: np.ndarray = both[: len(quick) // 8] / max(float(both[0]), 1e-9)
    return repeats


def _along(
    rulings: list[list[_Line]], narrow: Float[np.ndarray, "Y X"]
) -> tuple[Bool[np.ndarray, "Y X"], float, float]:
    """What of the picture lies on lines, their usual contrast, and that beyond which nothing is a line."""
    limits = np.stack([_limit(narrow, lines) for lines in rulings])
    crossed = np.stack([_crossing(narrow, lines) for lines in rulings])
    usual = float(min(np.median(limit[limit > 0]) for limit in limits))
    meeting = ((limits > 0).sum(0) > 1) & (narrow < limits.sum(0))
    covered = (((narrow < limits) & ~crossed).any(0) | meeting) & (narrow > TRACE * usual)
    return covered, usual, float(limits.max())


def _lightest(narrow: Float[np.ndarray, "Y X"]) -> float:
    """The contrast that best divides what is drawn into lighter and darker: ruling and pen, if one is darker (Otsu)."""
    import cv2

    drawn = narrow[narrow > np.percentile(narrow, DRAWN)]
    level, _ = cv2.threshold((drawn * 127.5).clip(0, 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    return float(level) / 127.5


def ruled(plane: Float[np.ndarray, "Y X"]) -> list[list[_Line]]:
    """The lines of a ruling, of a second one across it, and of a margin, as far as there are any."""
    import cv2

    if min(plane.shape) < 2 * _FEWEST * _WIDEST:
        return []
    window = np.ones((_WIDEST + 2, _WIDEST + 2), np.uint8)
    ridge = cv2.morphologyEx(plane, cv2.MORPH_TOPHAT, window)
    mask = ridge > max(FAINTEST, 3 * float(np.median(ridge)))
    least = int(COVERED / 2 * min(plane.shape))
    voted = cv2.HoughLinesWithAccumulator(mask.astype(np.uint8), 1, TURN, least)
    if voted is None or len(voted) < _FEWEST:
        return []
    near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    lines = [(float(rho), float(theta)) for rho, theta, _ in voted.reshape(-1, 3)[:_MOST]]
    seen = [(line, share) for line in lines if (share := _seen(line, near)) >= COVERED]
    found: list[list[_Line]] = []
    while len(found) < 2:
        family = _family(seen, plane.shape)
        even = _even(family, plane.shape)
        if len(even) < _FEWEST:
            break
        found.append(even)
        seen = [(line, share) for line, share in seen if _turn(line, even[0]) > 3 * ALIKE]
    if len(found) == 1:
        margin = _family([one for one in seen if one[1] >= _WHOLE], plane.shape)
        found += [margin] if 0 < len(margin) < 3 else []
    return found


def _turn(one: _Line, other: _Line) -> float:
    """The angle between two lines."""
    turn = abs(one[1] - other[1]) % math.pi
    return min(turn, math.pi - turn)


def _points(line: _Line, shape: tuple[int, ...]) -> Track:
    """(x, y) on a line, a pixel apart, within the picture."""
    (rho, theta), (height, width) = line, shape
    along = np.arange(-math.hypot(height, width), math.hypot(height, width))
    x, y = rho * math.cos(theta) - along * math.sin(theta), rho * math.sin(theta) + along * math.cos(theta)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return np.stack([x, y], 1)[inside].astype(np.float32)


def _seen(line: _Line, mask: Bool[np.ndarray, "Y X"]) -> float:
    """Share of a line's length that is drawn, of the whole or of the parts near its ends, whichever is less."""
    points = _points(line, mask.shape)
    if len(points) < min(mask.shape) / 2:
        return 0.0
    x, y = points.round().astype(int).T
    drawn = mask[y, x]
    skip, end = len(drawn) // 50, len(drawn) // 8
    return float(min(drawn.mean(), drawn[skip:end].mean(), drawn[-end : len(drawn) - skip].mean()))


def _family(seen: list[tuple[_Line, float]], shape: tuple[int, ...]) -> list[_Line]:
    """The lines of the direction that most have, the best seen of each place, in order."""
    if not seen:
        return []
    first = max((line for line, _ in seen), key=lambda line: sum(_turn(line, other) < ALIKE for other, _ in seen))
    alike = sorted(((line, share) for line, share in seen if _turn(line, first) < ALIKE), key=lambda one: -one[1])
    kept: dict[float, _Line] = {}
    for line, _ in alike:
        place = _place(line, first, shape)
        if all(abs(place - other) >= _WIDEST for other in kept):
            kept[place] = line
    return [kept[place] for place in sorted(kept)]


def _place(line: _Line, first: _Line, shape: tuple[int, ...]) -> float:
    """How far from the middle of the picture a line passes, across the first one's direction."""
    middle, across = (shape[1] / 2, shape[0] / 2), (math.cos(first[1]), math.sin(first[1]))
    normal = math.cos(line[1]), math.sin(line[1])
    return (line[0] - np.dot(middle, normal)) / np.dot(across, normal)


def _even(lines: list[_Line], shape: tuple[int, ...]) -> list[_Line]:
    """Those whose distance from a neighbour is that of the lines around, or twice or three times it."""
    if len(lines) < _FEWEST:
        return []
    places = np.array([_place(line, lines[0], shape) for line in lines])
    gaps = np.diff(places)
    around = [np.median(gaps[max(0, i - 4) : i + 5]) for i in range(len(gaps))]
    times = (gaps / around).round()
    even = (np.abs(gaps / around - times) < UNEVEN) & (times >= 1) & (times <= 3)
    if even.mean() < COVERED or places[-1] - places[0] < min(shape) / 2:
        return []
    kept = [i for i in range(len(lines)) if even[max(0, i - 1) : i + 1].any()]
    steps = np.array([times[a:b].sum() for a, b in pairwise([0, *kept])]).cumsum()
    return _between([lines[i] for i in kept], steps)


def _between(lines: list[_Line], steps: Float[np.ndarray, "n"]) -> list[_Line]:
    """The lines of a ruling and those that are missing between and beyond them.

    Args:
        lines: in order.
        steps: how many spacings each is from the first.
    """
    rho, theta = np.array(lines).T
    turned = np.round((theta - theta[0]) / math.pi)
    rho, theta = np.where(turned, -rho, rho), theta - turned * math.pi
    beyond = len(lines) // 3
    missing = np.setdiff1d(np.arange(steps[0] - beyond, steps[-1] + beyond + 1), steps)
    more = (np.polyval(np.polyfit(steps, values, 2), missing).tolist() for values in (rho, theta))
    return lines + list(zip(*more, strict=True))


def _limit(narrow: Float[np.ndarray, "Y X"], lines: list[_Line]) -> Float[np.ndarray, "Y X"]:
    """Along the lines, the contrast beyond which something darker lies on them; 0 elsewhere."""
    import cv2

    tracks = [_followed(line, narrow) for line in lines if len(_points(line, narrow.shape)) > 1]
    usual = float(np.median([level for _, level in tracks]))
    limit = np.zeros(narrow.shape, np.float32)
    for track, level in tracks:
        cv2.polylines(limit, [track.round().astype(np.int32)], False, DARKER * min(level, DARKER * usual), _WIDEST)
    return limit


def _crossing(narrow: Float[np.ndarray, "Y X"], lines: list[_Line]) -> Bool[np.ndarray, "Y X"]:
    """What is longer across the lines than they are wide."""
    import cv2

    reach = _WIDEST + 1
    across = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    dx, dy = round(reach * math.cos(lines[0][1])), round(reach * math.sin(lines[0][1]))
    cv2.line(across, (reach - dx, reach - dy), (reach + dx, reach + dy), 1)
    crossing: np.ndarray = cv2.morphologyEx(narrow, cv2.MORPH_OPEN, across) > narrow / 2
    return crossing


def _followed(line: _Line, plane: Float[np.ndarray, "Y X"]) -> tuple[Track, float]:
    """The course of a line that is not quite straight, and the contrast that it has where it is strongest."""
    import cv2

    points, normal = _points(line, plane.shape), np.array([math.cos(line[1]), math.sin(line[1])])
    offsets = np.arange(-_WIDEST, _WIDEST + 1)
    places = (points[None] + offsets[:, None, None] * normal).astype(np.float32)
    strip = cv2.remap(plane, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    pieces = np.array_split(np.arange(len(points)), max(1, len(points) // PIECE))
    profiles = np.array([np.median(strip[:, piece], 1) for piece in pieces])
    best = offsets[profiles.argmax(1)]
    smooth = np.array([np.median(best[max(0, i - 2) : i + 3]) for i in range(len(best))])
    shift = np.interp(np.arange(len(points)), [piece.mean() for piece in pieces], smooth)
    peaks = [np.percentile(strip[:, piece], 90, axis=1).max() for piece in pieces]
    return points + shift[:, None] * normal, float(np.median(peaks))
