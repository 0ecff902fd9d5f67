"""Drawings of one series: regions that several of them show are found again, and have one colour in all.

`composite` decides by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

from midms.images.finishers.evidence import Evidence, commonest
from midms.images.finishers.palette import Colour, nearest_colours
from midms.images.reading import resize

_WITHIN = 32
"""Drawings before one in which its regions are looked for; through these they are known to all."""
_ALIKE = 0.5
"""Least likeness of what may be the same region."""
_SIZE = 0.1
"""What a region e times as large costs of the likeness."""
_ELSEWHERE, _FAR = 0.3, 0.1
"""What it costs to be elsewhere, at most, and from where on, as a share of the picture's longer side."""
_FEWEST = 3
"""Matches from which it is known where a drawing's regions are in another."""
_FITS = 5
"""Rounds in which it is found."""


class Decided(NamedTuple):
    """The colours of a drawing's regions.

    Attributes:
        numbers: from a region as it is found to the one that it belongs to; 0 is none.
        evidence: of each of the latter.
        flat: which of these are painted with their colour.
        settled: which of the flat ones the series decides: they are of one colour throughout.
    """

    numbers: Int[np.ndarray, "n"]
    evidence: Evidence
    flat: Bool[np.ndarray, "m"]
    settled: Bool[np.ndarray, "m"]


class SeenDrawing(NamedTuple):
    """What is kept of a drawing of a series.

    Attributes:
        key: of the drawing.
        alone: what it decides by itself.
        regions: of each pixel that votes.
        votes: its colour, of 255.
        features: of each region, the mean of its features, of unit norm; 0 where it has no pixel.
        sizes: of each region, in shares of the picture.
        middles: of each region, x + iy in units of the picture's longer side.
        palette: that its colours are of, where they are near to it.
    """

    key: bytes
    alone: Decided
    regions: Int[np.ndarray, "p"]
    votes: Int[np.ndarray, "p 3"]
    features: Float[np.ndarray, "m d"]
    sizes: Float[np.ndarray, "m"]
    middles: Complex[np.ndarray, "m"]
    palette: Sequence[Colour]


def drawing_key(drawing: Float[Tensor, "1 3 Y X"]) -> bytes:
    """The same for the same drawing alone."""
    pixels = drawing.detach().cpu().float().contiguous().numpy()
    return hashlib.blake2b(pixels.data, digest_size=16, key=repr(pixels.shape).encode()).digest()


def seen_drawing(
    drawing: Float[Tensor, "1 3 Y X"],
    alone: Decided,
    regions: Int[np.ndarray, "y x"],
    votes: tuple[Int[np.ndarray, "p"], Float[np.ndarray, "p 3"]],
    features: Float[Tensor, "1 d _ _"],
    palette: Sequence[Colour],
) -> SeenDrawing:
    """What is kept of a drawing.

    Args:
        drawing: in [-1, 1].
        alone: what it decides by itself.
        regions: where the drawing is looked at.
        votes: pixels that vote, by region, and their colours in [-1, 1].
        features: of the drawing.
        palette: that its colours are of, where they are near to it.
    """
    count = len(alone.evidence.voting)
    sizes = np.bincount(regions.ravel(), minlength=count)
    seen = resize(features.float().cpu(), (regions.shape[0], regions.shape[1]))[0].flatten(1).T
    numbers = torch.from_numpy(regions.ravel().astype(np.int64))
    means = F.normalize(seen.new_zeros(count, seen.shape[1]).index_add_(0, numbers, seen), dim=1).numpy()
    colours = ((votes[1] + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
    shares = sizes / regions.size
    y, x = np.indices(regions.shape) / max(regions.shape)
    sums = [np.bincount(regions.ravel(), axis.ravel(), count) for axis in (x, y)]
    middles = (sums[0] + 1j * sums[1]) / np.maximum(sizes, 1)
    key, voting = drawing_key(drawing), votes[0].astype(np.int32)
    return SeenDrawing(key, alone, voting, colours, means, shares, middles, palette)


def agreed(drawings: Sequence[SeenDrawing], tolerance: float) -> dict[bytes, Decided]:
    """What the drawings decide together, by their keys: the pixels of a region vote in all drawings that show it.

    Args:
        drawings: of the series, in its order.
        tolerance: how far colours differ in any channel that agree, of a range of 2.
    """
    if not drawings:
        return {}
    names, ends = _same_regions(drawings)
    pixels = np.concatenate([names[start + one.regions] for one, start in zip(drawings, ends, strict=False)])
    colours = np.concatenate([one.votes for one in drawings]) / np.float32(127.5) - 1
    evidence = commonest(pixels, colours, len(names), tolerance)
    drawn = np.bincount(names, minlength=len(names))
    flat = _flat_in_most(drawings, names)
    found = {}
    for one, start, end in zip(drawings, ends, ends[1:], strict=False):
        own = names[start:end]
        settled = flat[own] & (drawn[own] > 1) & (evidence.voting[own] > 0)
        shared = evidence._replace(colour=nearest_colours(evidence.colour, one.palette))
        mixed = (
            np.where(settled if mine.ndim == 1 else settled[:, None], theirs[own], mine)
            for mine, theirs in zip(one.alone.evidence, shared, strict=True)
        )
        found[one.key] = Decided(one.alone.numbers, Evidence(*mixed), one.alone.flat | settled, settled)
    return found


def _flat_in_most(drawings: Sequence[SeenDrawing], names: Int[np.ndarray, "all"]) -> Bool[np.ndarray, "all"]:
    """Of each name, whether those of its pixels that vote are mostly in flat regions; what is thin is taken as flat."""
    flat = np.concatenate([one.alone.flat | (one.alone.evidence.voting == 0) for one in drawings])
    voting = np.concatenate([np.bincount(one.regions, minlength=len(one.sizes)) for one in drawings])
    weights = np.where(flat, 1, -1) * voting
    return np.bincount(names, weights, len(names)) >= 0


def _same_regions(drawings: Sequence[SeenDrawing]) -> tuple[Int[np.ndarray, "all"], list[int]]:
    """A name for each region of all drawings, the same for those that are one, and where each drawing's begin.

    Two are one if each is the likest of its drawing to the other, what is elsewhere among the other regions being less
    like. From the likest pair on these are joined, unless two regions of one drawing would be one, as tracks of points
    are through photos.
    """
    ends = np.cumsum([0] + [len(one.sizes) for one in drawings]).tolist()
    pairs: list[tuple[float, int, int]] = []
    for i, one in enumerate(drawings):
        for j in range(max(0, i - _WITHIN), i):
            likeness = _likeness(one, drawings[j])
            likeness = likeness - _elsewhere(one, drawings[j], _mutual(likeness))
            for region, other in zip(*_mutual(likeness), strict=True):
                pairs.append((float(likeness[region, other]), ends[i] + int(region), ends[j] + int(other)))
    home = list(range(ends[-1]))
    within = [{number} for number, one in enumerate(drawings) for _ in one.sizes]

    def first(region: int) -> int:
        while home[region] != region:
            home[region] = region = home[home[region]]
        return region

    for _, one_region, other_region in sorted(pairs, reverse=True):
        kept, gone = first(one_region), first(other_region)
        if kept != gone and within[kept].isdisjoint(within[gone]):
            home[gone] = kept
            within[kept] |= within[gone]
    return np.array([first(region) for region in range(ends[-1])]), ends


_Matches = tuple[Int[np.ndarray, "k"], Int[np.ndarray, "k"]]


def _mutual(likeness: Float[np.ndarray, "n m"]) -> _Matches:
    """Regions of which each is the likest to the other, and alike."""
    forth, back = likeness.argmax(1), likeness.argmax(0)
    own = np.arange(len(forth))
    found = np.flatnonzero((back[forth] == own) & (likeness[own, forth] > _ALIKE))
    return found, forth[found]


def _elsewhere(one: SeenDrawing, other: SeenDrawing, matches: _Matches) -> Float[np.ndarray, "n m"]:
    """What it costs that a region is not where it would be if one drawing were the other moved, turned and scaled.

    The similarity is fitted to matches by least squares, those far from it counting less (Geman and McClure's weights).
    """
    if len(matches[0]) < _FEWEST:
        return np.zeros((len(one.sizes), len(other.sizes)))
    here, there = one.middles[matches[0]], other.middles[matches[1]]
    sizes = np.sqrt(one.sizes[matches[0]] * other.sizes[matches[1]]) ** 0.5
    weights = sizes
    for _ in range(_FITS):
        middle, target = np.average(here, weights=weights), np.average(there, weights=weights)
        spread = (weights * np.abs(here - middle) ** 2).sum()
        turn = (weights * np.conj(here - middle) * (there - target)).sum() / max(spread, 1e-9)
        shift = target - turn * middle
        weights = sizes / (1 + (np.abs(turn * here + shift - there) / _FAR) ** 2) ** 2
    away = np.abs((turn * one.middles + shift)[:, None] - other.middles[None])
    return _ELSEWHERE * np.minimum(away / _FAR, 1)


def _likeness(one: SeenDrawing, other: SeenDrawing) -> Float[np.ndarray, "n m"]:
    """Of each region of one drawing with each of another: by features and size; those without pixels are like none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.log(one.sizes)[:, None] - np.log(other.sizes)[None]
        likeness = one.features @ other.features.T - _SIZE * np.abs(logarithms)
    likeness[one.sizes == 0] = likeness[:, other.sizes == 0] = -np.inf
    likeness[0] = likeness[:, 0] = -np.inf
    return likeness
