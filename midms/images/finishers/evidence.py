"""Which colour a prediction shows in each region of a drawing, and how far the region agrees on it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

_BINS = 8
"""Steps of a channel by which pixels vote at first."""
_TURNS = 3
"""Means of those that agree with the mean before (mean shift)."""


class Evidence(NamedTuple):
    """What is known of each region, the first of which is none.

    Attributes:
        colour: that most of the region's pixels have, in [-1, 1].
        agreeing: pixels that have it.
        voting: pixels that were asked; none of a region that is too thin to have any of its own.
    """

    colour: Float[np.ndarray, "n 3"]
    agreeing: Float[np.ndarray, "n"]
    voting: Float[np.ndarray, "n"]


def commonest(
    regions: Int[np.ndarray, "n"], colours: Float[np.ndarray, "n 3"], count: int, tolerance: float
) -> Evidence:
    """The mode of each region's colours: the best filled bin, then means of what is near the mean (mean shift).

    Args:
        regions: of each pixel that votes.
        colours: that it has, in [-1, 1].
        count: of regions, and one for none.
        tolerance: how far colours differ in any channel that agree.
    """
    voting = np.bincount(regions, minlength=count).astype(np.float32)
    steps = ((colours + 1) / 2 * _BINS).clip(0, _BINS - 1).astype(np.int64)
    codes = regions * _BINS**3 + steps @ np.array([_BINS**2, _BINS, 1])
    filled, place, votes = np.unique(codes, return_inverse=True, return_counts=True)
    best = np.zeros(count, np.int64)
    order = np.argsort(votes, kind="stable")
    best[filled[order] // _BINS**3] = order
    near = place.reshape(-1) == best[regions]
    for _ in range(_TURNS):
        agreeing = np.bincount(regions[near], minlength=count).astype(np.float32)
        sums = [np.bincount(regions[near], colours[near, channel], minlength=count) for channel in range(3)]
        colour = (np.stack(sums, 1) / np.maximum(agreeing, 1)[:, None]).astype(np.float32)
        near = (np.abs(colours - colour[regions]) <= tolerance).all(1)
    return Evidence(colour, np.bincount(regions[near], minlength=count).astype(np.float32), voting)
