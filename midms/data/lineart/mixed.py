"""What a model that colours line art is trained on: drawings of artists and of portraits, in many hands."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from midms.core.limits import int_range, number
from midms.core.protocols import ConditionExtractor
from midms.data.lineart.facesjs import DrawnFaces, facesjs
from midms.data.lineart.pens import redrawn
from midms.data.lineart.svg import require_svg
from midms.data.pair import Pair
from midms.data.portraits.dataset import Portraits

_BARE = 0.3
"""Of the exemplars of artists' faces, those without outlines."""
_PAINTED = 0.5
"""Of the exemplars of portraits, those that are painted, with light and texture, instead of line art."""


def lineart(
    path: str | os.PathLike[str],
    *,
    size: int = 128,
    condition: ConditionExtractor | None = None,
    split: str = "train",
    faces: int = 4096,
    portraits: float = 0.2,
    styles: int = 600,
) -> LineArt:
    """Line drawings to be coloured: faces of facesjs and computer-drawn portraits.

    While it trains, faces are drawn by pens of all widths, with gaps, rough, on uneven paper; some of their exemplars
    have no outlines, and some exemplars of portraits are painted.

    Args:
        path: the folder of the unpacked npm package facesjs, see `facesjs`.
        size: pixels of the pairs' sides, 64 to 256.
        condition: what reads line drawings and pictures, see `facesjs`.
        split: "train", "validation" or "test".
        faces: how many of facesjs are trained on, each in endless palettes.
        portraits: share of the pairs that are portraits.
        styles: how many portraits there are, of the training alone, which renders and keeps them.

    Raises:
        DatasetError: see `facesjs`.
        OutOfLimits: a number is out of its limits.
    """
    require_svg("lineart")
    number(0, 1, portraits=portraits)
    int_range(1, 1_000_000, styles=styles)
    drawn = facesjs(path, size=size, condition=condition, split=split, faces=faces)
    flat = Portraits(split, size, condition, styles, 2, "lineart")
    return LineArt(drawn, flat, replace(flat, rendering="painted"), portraits)


@dataclass(frozen=True, eq=False)
class LineArt:
    """The pairs of `lineart`, as many as there are faces of facesjs.

    Attributes:
        drawn: faces of facesjs.
        flat: portraits as line art.
        painted: the same with light and texture.
        portraits: share of the pairs that are portraits.
    """

    trained_on: ClassVar[str] = "line drawings of faces, each to be coloured like another picture of such a face"
    drawn: DrawnFaces
    flat: Any
    painted: Any
    portraits: float

    def cached(self, folder: Path, most: int | None = None) -> LineArt:
        """The same, its portraits rendered once and kept in a folder; see `Portraits.cached`."""
        if self.portraits == 0:
            return self
        return replace(self, flat=self.flat.cached(folder, most), painted=self.painted.cached(folder, most))

    def __len__(self) -> int:
        return len(self.drawn)

    def __getitem__(self, index: int) -> Pair:
        """A pair, always the same, drawn neatly.

        Raises:
            IndexError: there is none of this number.
            BrokenSample: a face cannot be drawn.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"pairs are numbered 0 to {len(self) - 1}, got {index}")
        if self._is_portrait(torch.Generator().manual_seed(index)):
            return self._portrait(index % len(self.flat), index % 2 > 0)
        return self.drawn[index]

    def draw(self, index: int, generator: torch.Generator) -> Pair:
        """The same face of facesjs in random colours, drawn by a random hand; or a random portrait.

        Raises:
            IndexError: there is none of this number.
            BrokenSample: a face cannot be drawn.
        """
        if self._is_portrait(generator):
            painted = bool(torch.rand((), generator=generator) < _PAINTED)
            return self._portrait(int(torch.randint(len(self.flat), (), generator=generator)), painted)
        other, colours = self.drawn.random_exemplar(index, generator)
        outlined = bool(torch.rand((), generator=generator) >= _BARE)
        return self.drawn.pair(index, other, colours, outlined, lambda ink: redrawn(ink, generator))

    def _is_portrait(self, generator: torch.Generator) -> bool:
        return bool(torch.rand((), generator=generator) < self.portraits)

    def _portrait(self, index: int, painted: bool) -> Pair:
        pair = self.flat[index]
        if painted:
            shown = self.painted[index]
            pair = replace(pair, exemplar=shown.exemplar, exemplar_condition=shown.exemplar_condition)
        return replace(pair, flow=None, visible=None)
