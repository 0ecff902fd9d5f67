"""How much portraits differ in what is not the face: framing, glasses, backdrop, and the hand that sketches them."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import torch

from midms.data.portraits.hand import STEADY, Hand
from midms.data.portraits.parameters import BOXES, Geometry, Style, uniforms

_STREAM = 4
"""Of the draws that this takes of a seed; it changes no other draw."""
_WHITE = 0.5
"""Of backdrops of one colour, those that are about white."""


@dataclass(frozen=True)
class Variety:
    """What portraits are drawn with beside their own faces.

    Attributes:
        moved: share of geometries that are scaled about the middle of the picture and moved.
        scale: least and most that these are scaled by.
        aside: how far these are moved across and down at most, in widths of the picture.
        glasses: share of the geometries without glasses that get some.
        empty: share of styles whose backdrop has one colour.
        cluttered: share of styles whose backdrop has boxes of many colours.
        hand: that sketches.
    """

    moved: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    aside: float = 0.0
    glasses: float = 0.0
    empty: float = 0.0
    cluttered: float = 0.0
    hand: Hand = STEADY

    def framed(self, geometry: Geometry, seeds: list[int]) -> Geometry:
        """Heads moved and scaled, some with glasses.

        Args:
            geometry: from `parameters.geometry(seeds)`.
            seeds: the same.
        """
        moved, scale, right, up, glasses = (draw[:, None, None] for draw in uniforms(seeds, 5, _STREAM).T)
        least, most = self.scale
        scale = torch.where(moved < self.moved, least + (most - least) * scale, 1)
        far = torch.where(moved < self.moved, 4 * self.aside, 0)
        centre = {
            "centre_x": geometry.centre_x * scale + far * (right - 0.5),
            "centre_y": geometry.centre_y * scale + far * (up - 0.5),
        }
        worn = geometry.glasses.maximum((glasses < self.glasses).float())
        return SimpleNamespace(**vars(geometry) | centre | {"scale": geometry.scale * scale, "glasses": worn})

    def backed(self, style: Style) -> Style:
        """Some backdrops of one colour, some cluttered.

        Args:
            style: from `parameters.style`.
        """
        kind, white, grey = (draw[:, None, None] for draw in uniforms(style.seeds, 3, _STREAM).T)
        empty, cluttered = kind < self.empty, kind > 1 - self.cluttered
        plain = torch.where((white < _WHITE)[:, None], (0.88 + 0.12 * grey)[:, None], style.backdrop[0])
        far, near = style.backdrop
        backdrop = tuple(torch.where(empty[:, None], plain, colour) for colour in (far, near))
        kinds = torch.where(cluttered, BOXES, torch.where(empty, 0, style.backdrop_kind))
        return SimpleNamespace(**vars(style) | {"backdrop": backdrop, "backdrop_kind": kinds})


VARIETIES = {
    "narrow": Variety(),
    "wide": Variety(
        moved=0.6,
        scale=(0.5, 1.2),
        aside=0.25,
        glasses=0.2,
        empty=0.35,
        cluttered=0.2,
        hand=Hand(wobble=0.014, gaps=0.1, pens=(0.5, 1, 2, 3, 4)),
    ),
}
"""By name: one upright face that fills the square, as `midm-faces` was trained; and the world as it is."""
