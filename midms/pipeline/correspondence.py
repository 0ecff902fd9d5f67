"""Where in the exemplar a match takes each pixel from, and the points that tell most of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from midms.core.protocols import Match
from midms.core.types import cells
from midms.images.finishers.regions import nearest_region
from midms.images.frame import Frame
from midms.loop.hints import GivenMatch
from midms.loop.multi_exemplar import MultiExemplarMatch

FLAT, ONE_COLOUR = 0.25, 0.3
"""Spread of places, and of the warp's colours over the exemplar's, below both of which a match is flat.

Of six pairs of the test split places spread by 0.97 at least in `midm-faces`, but by 0.5 in `midm-lineart`, and by
0.2 in drawings of other things that it colours well, for there a match is with all that has a colour; colours spread by
0.83 at least. With a correlation's temperature of 0.3 places spread by 0.38 at least on faces, and colours by 0.35 at
least on line art; with 0.6 places by at most 0.24 and colours by at most 0.27, with 5 by at most 0.03 and 0.23. On
faces the results are 9, 10 and 11 dB worse then.
"""
SCATTERED = 0.15
"""Scatter from which no single place can be shown for a row, in longer sides of the exemplar; evenly over it is 0.41.

Of eight pairs of the test split 95 % of the cells of `midm-faces` are below 0.09, half of those of `midm-lineart`
above 0.2.
"""


class Origins(NamedTuple):
    """Points of a result in the pictures as they were handed in, upright.

    Attributes:
        condition: (x, y) in the condition's own pixels, of a photo of a drawing the photo's; of label maps and masks
            beyond 4096 pixels a side in the pixels that are read of them.
        source: the number of the exemplar that each point is taken from, from 0.
        exemplar: (x, y) in that exemplar's own pixels.
    """

    condition: Float[Tensor, "n 2"]
    source: Int[Tensor, " n"]
    exemplar: Float[Tensor, "n 2"]


def match_to_pixel_flow(
    match: Match,
    frames: Sequence[Frame],
    exemplars: Sequence[Sequence[Frame]],
    like: Tensor,
    masks: Sequence[Sequence[Tensor | None]],
) -> list[tuple[Int[Tensor, "Y X"], Float[Tensor, "2 Y X"]]]:
    """From which exemplar matches take each pixel, and what to add to its (x, y) to find where, side by side.

    A pixel that has its colour by a hint is in none: the first exemplar counts, at the place that was found in it.

    Args:
        match: rows are cells of the conditions' canvases, columns cells of the exemplars' canvases side by side.
        frames: of each condition; the pixels are those of its picture.
        exemplars: frames of the exemplars of each; their pictures are what lies side by side.
        like: gives device and dtype.
        masks: [1 1 _ _] of each one's exemplars' canvases in their order, white where a pixel may be taken from; None
            for all.

    Returns:
        Numbers of exemplars from 0, and the flow, of each condition.
    """
    matches, shares = (match.matches, match.shares) if isinstance(match, MultiExemplarMatch) else ((match,), None)
    numbers = [one.exemplar if isinstance(one, GivenMatch) else i for i, one in enumerate(matches)]
    places = [
        None if number is None else one.apply(_places(one.transpose().grid, exemplars, number, like))
        for one, number in zip(matches, numbers, strict=True)
    ]
    found = []
    for i, (frame, own, allowed) in enumerate(zip(frames, exemplars, masks, strict=True)):
        (top, left), flows = frame.corner, []
        here = _centres(match.grid, frame.canvas, like) - like.new_tensor([left, top]).view(1, 2, 1, 1)
        for one, number, place in zip(matches, numbers, places, strict=True):
            if number is None or place is None:  # colours
                continue
            beside = _beside(own, number)
            flow = _within(frame.crop(enlarge(place[i : i + 1] - here, frame.canvas)), own[number], beside)
            mask = allowed[number] if number < len(allowed) and not isinstance(one, GivenMatch) else None
            flows.append(flow if mask is None else _into_white(flow, own[number].crop(mask), beside))
        if shares is None:
            found.append((flows[0].new_zeros(*frame.picture, dtype=torch.long), flows[0][0]))
            continue
        taken = [share[i : i + 1] for share, number in zip(shares, numbers, strict=True) if number is not None]
        chosen = frame.crop(enlarge(torch.cat(taken, 1).to(like), frame.canvas)).argmax(1)
        flow = torch.stack(flows).gather(0, chosen[None, :, None].expand(1, -1, 2, -1, -1))[0, 0]
        found.append((chosen.new_tensor([number for number in numbers if number is not None])[chosen[0]], flow))
    return found


def _places(
    grid: tuple[int, int], exemplars: Sequence[Sequence[Frame]], number: int, like: Tensor
) -> Float[Tensor, "b 2 h w"]:
    """Where the cells of an exemplar of each condition are in its exemplars' pictures side by side."""
    centres = _centres(grid, exemplars[0][number].canvas, like)
    return torch.cat([_uncovered(centres, own[number], _beside(own, number)) for own in exemplars])


def _beside(exemplars: Sequence[Frame], number: int) -> int:
    """How far to the right the picture of an exemplar begins."""
    return sum(one.picture[1] for one in exemplars[:number])


def flat_matches(
    match: Match, warp: Float[Tensor, "b 3 Y X"], exemplars: Sequence[Float[Tensor, "b 3 _ _"]]
) -> list[bool]:
    """Whether matches tell no cells of an exemplar apart: every cell of a condition takes nearly the same mean.

    Args:
        match: to one exemplar, or several.
        warp: the picture of what was matched.
        exemplars: pictures.
    """
    matches = match.matches if isinstance(match, MultiExemplarMatch) else (match,)
    reach = torch.stack([_reach(one, warp) for one in matches if not isinstance(one, GivenMatch)]).amax(0)
    vivid = torch.stack([_deviation(one) for one in exemplars]).amax(0)
    return ((reach < FLAT) & (_deviation(warp) < ONE_COLOUR * vivid)).tolist()


def _deviation(pictures: Float[Tensor, "b 3 _ _"]) -> Float[Tensor, " b"]:
    """The standard deviation of the channel that has most."""
    return pictures.float().std((2, 3)).amax(1)


def _reach(match: Match, like: Float[Tensor, "b _ _ _"]) -> Float[Tensor, " b"]:
    """How far places that cells are matched to lie from each other, in widths and heights of the exemplar, at least 0.

    The standard deviation of the places over that of the exemplar's cells, the larger of both directions.
    """
    there = cells(*match.transpose().grid, like).expand(len(like), -1, -1, -1)
    place = match.apply(there)
    return (place.std((2, 3)) / there.std((2, 3)).clamp(min=1e-6)).amax(1)


def concentration(match: Match, like: Float[Tensor, "b _ _ _"]) -> Float[Tensor, "b 1 h w"]:
    """How much each cell takes from one place: 1 from a single cell, 0 where the mean place misleads, or from a colour.

    It falls with the standard deviation of the places that the cell takes from, to 0 at `SCATTERED`.

    Args:
        match: to one exemplar, or several.
        like: gives batch, device and dtype.
    """
    if isinstance(match, MultiExemplarMatch):
        parts = zip(match.matches, match.shares, strict=True)
        return torch.stack([share.to(like) * concentration(one, like) for one, share in parts]).sum(0)
    if isinstance(match, GivenMatch) and match.exemplar is None:
        return like.new_zeros(len(like), 1, *match.grid)
    grid = match.transpose().grid
    there = cells(*grid, like).expand(len(like), -1, -1, -1) / max(grid)
    mean, square = match.apply(torch.cat([there, there**2], 1)).chunk(2, 1)
    return (1 - (square - mean**2).sum(1, keepdim=True).clamp(min=0).sqrt() / SCATTERED).clamp(min=0)


def nearest_white(mask: Float[Tensor, "1 1 Y X"]) -> Int[Tensor, "Y X"]:
    """The place, read row by row, of the white pixel nearest to each; there must be one."""
    white = mask[0, 0].cpu().numpy() >= 0.5
    numbers = np.where(white, np.arange(1, white.size + 1, dtype=np.int32).reshape(white.shape), 0)
    return torch.from_numpy(nearest_region(numbers)[1]).long().to(mask.device) - 1


def _within(flow: Float[Tensor, "b 2 y x"], frame: Frame, beside: int) -> Float[Tensor, "b 2 y x"]:
    """The flow, going to the edge of a picture so many pixels further right where it went beyond it."""
    (height, width), here = frame.picture, cells(flow.shape[-2], flow.shape[-1], flow)
    ends = flow.new_tensor([[beside, 0], [beside + width, height]]).view(2, 1, 2, 1, 1) - 0.5
    return (here + flow).clamp(*ends) - here


def _into_white(
    flow: Float[Tensor, "b 2 y x"], mask: Float[Tensor, "1 1 Y X"], beside: int
) -> Float[Tensor, "b 2 y x"]:
    """The flow, going to the nearest white pixel where it went to one that is not."""
    height, width = mask.shape[-2:]
    here = cells(flow.shape[-2], flow.shape[-1], flow)
    x, y = (here + flow).round().long().unbind(1)
    own = y.clamp(0, height - 1) * width + (x - beside).clamp(0, width - 1)
    near = nearest_white(mask).flatten().to(own.device)[own]
    moved = torch.stack([near % width + beside, near // width], 1) - here
    return torch.where((near == own)[:, None], flow, moved)


def _uncovered(places: Float[Tensor, "1 2 h w"], frame: Frame, beside: int) -> Float[Tensor, "1 2 h w"]:
    """Places on a canvas as places on its picture, so many pixels further right; what is off it, at its edge."""
    (x, y), (top, left), (height, width) = places.split(1, 1), frame.corner, frame.picture
    return torch.cat([(x - left).clamp(0, width - 1) + beside, (y - top).clamp(0, height - 1)], 1)


def origins(
    pairs: Float[Tensor, "n 4"], source: Int[Tensor, "Y X"], frame: Frame, exemplars: Sequence[Frame]
) -> Origins:
    """Corresponding points in the pictures as they were handed in.

    Args:
        pairs: (x, y) in the result, whole numbers, and (x, y) in the exemplars side by side, see `correspondences`.
        source: from which exemplar each pixel is taken.
        frame: of the condition.
        exemplars: frames of the exemplars.
    """
    x, y = pairs[:, :2].long().T
    numbers = source[y, x]
    beside = pairs.new_tensor([sum(one.picture[1] for one in exemplars[:i]) for i in range(len(exemplars))])
    places = pairs[:, 2:] - torch.stack([beside[numbers], torch.zeros_like(beside[numbers])], 1)
    inside = pairs.new_tensor([[width - 1, height - 1] for height, width in (one.picture for one in exemplars)])
    places = places.clamp(min=0).minimum(inside[numbers])
    for number, exemplar in enumerate(exemplars):
        places[numbers == number] = exemplar.origins(places[numbers == number])
    return Origins(frame.origins(pairs[:, :2]), numbers, places)


def _centres(grid: tuple[int, int], shape: tuple[int, int], like: Tensor) -> Float[Tensor, "1 2 h w"]:
    """(x, y) of the middle of each cell, in pixels of a picture of `shape`."""
    cell = like.new_tensor([shape[1] / grid[1], shape[0] / grid[0]]).view(1, 2, 1, 1)
    return (cells(grid[0], grid[1], like) + 0.5) * cell - 0.5


def enlarge(planes: Float[Tensor, "b c h w"], shape: tuple[int, int]) -> Float[Tensor, "b c Y X"]:
    """What each cell has, at each pixel."""
    return F.interpolate(planes, shape, mode="bilinear", align_corners=False)


def telling_points(trusted: Float[Tensor, "Y X"], condition: Float[Tensor, "k Y X"], count: int) -> Int[Tensor, "n 2"]:
    """(x, y) of pixels that are trusted, lie where the condition has something to say, and are far from each other.

    Args:
        trusted: how much the place that is found for each pixel is trusted, in [0, 1].
        condition: the map; it says something where it varies.
        count: how many points, or fewer if no more are trusted.
    """
    low, high = -F.max_pool2d(-condition, 3, 1, 1), F.max_pool2d(condition, 3, 1, 1)
    interest = (trusted * (high - low).sum(0) ** 2).flatten()
    pixels = cells(trusted.shape[0], trusted.shape[1], interest)[0].flatten(1).T
    distance = torch.full_like(interest, float(max(trusted.shape)))
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
