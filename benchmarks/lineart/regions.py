"""Regions of a drawing whose right colour is known."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from benchmarks.lineart.cases import Case
from midms import create

_LEAST = 0.002
"""Share of the picture from which a region is counted."""
_FLAT = 0.8
"""Share of a region that has its colour, from which it has one."""
TENTH = 0.2
"""A tenth of the range of [-1, 1]."""


class Area(NamedTuple):
    """A region of one colour: its pixels at the answer's size, and the answer's median colour there."""

    pixels: Bool[Tensor, "y x"]
    colour: Float[Tensor, "3"]


def regions_of(case: Case) -> list[Area]:
    """The regions between the lines of a case's drawing that have one colour in the answer."""
    regions = create("finisher", "composite")(case.answer, case.drawing, [], lambda box: None).regions
    assert regions is not None
    size = case.answer.shape[-2:]
    small = F.interpolate(regions[None].float(), size, mode="nearest-exact")[0, 0].long()
    clear = F.interpolate(case.drawing.mean(1, keepdim=True), size, mode="area")[0, 0]
    paper = clear > clear.median() - 0.2
    areas = []
    for number in range(1, int(small.max()) + 1):
        pixels = (small == number) & paper
        if pixels.sum() < _LEAST * pixels.numel():
            continue
        colour = case.answer[0][:, pixels].median(1).values
        if (_off(case.answer, pixels, colour) < TENTH).float().mean() >= _FLAT:
            areas.append(Area(pixels, colour))
    return areas


def right_regions(picture: Float[Tensor, "1 3 y x"], case: Case, areas: list[Area]) -> float:
    """The share of the regions whose median colour is right; 1 where there are none."""
    right = [is_right(picture, area) for area in areas]
    return sum(right) / len(right) if right else 1.0


def is_right(picture: Float[Tensor, "1 3 y x"], area: Area) -> bool:
    """Whether the median colour of a region is within a tenth of the range of the answer's, in each channel."""
    return bool((picture[0][:, area.pixels].median(1).values - area.colour).abs().max() < TENTH)


def _off(picture: Float[Tensor, "1 3 y x"], pixels: Bool[Tensor, "y x"], colour: Float[Tensor, "3"]) -> Tensor:
    return (picture[0][:, pixels] - colour[:, None]).abs().amax(0)
