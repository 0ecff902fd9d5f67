"""What a model that colours line art is trained on: drawings of artists, of portraits and of shapes, in many hands."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from midms.core.limits import OutOfLimits, int_range, number
from midms.core.protocols import ConditionExtractor
from midms.data.lineart.drawn import Reframing
from midms.data.lineart.facesjs import DrawnFaces, facesjs
from midms.data.lineart.pens import redrawn
from midms.data.lineart.shapes import UNOUTLINED, Shapes
from midms.data.lineart.svg import require_svg
from midms.data.pair import Pair
from midms.data.portraits.dataset import Portraits

_PAINTED = 0.5
"""Of the exemplars of portraits, those that are painted, with light and texture, instead of line art."""
_FRAMED = 0.5
"""Of the pairs of artists' faces, those whose exemplar or drawing is moved and scaled."""
_FIGURES = 2**31
"""Figures of shapes that a random pair may show."""


def lineart(
    path: str | os.PathLike[str],
    *,
    size: int = 128,
    condition: ConditionExtractor | None = None,
    split: str = "train",
    faces: int = 4096,
    portraits: float = 0.2,
    shapes: float = 0.3,
    styles: int = 600,
) -> LineArt:
    """Line drawings to be coloured: faces of facesjs, computer-drawn portraits, and figures of random shapes.

    While it trains, faces and figures are drawn by pens of all widths, with gaps, rough, on uneven paper; some of their
    exemplars have no outlines, some faces are moved and scaled, and some exemplars of portraits are painted.

    To choose for training on line art: it is what `midm-lineart` was trained on.

    Args:
        path: the folder of the unpacked npm package facesjs, see `facesjs`.
        size: pixels of the pairs' sides, 64 to 256.
        condition: what reads line drawings and pictures, see `facesjs`.
        split: "train", "validation" or "test".
        faces: how many of facesjs are trained on, each in endless palettes.
        portraits: share of the pairs that are portraits.
        shapes: share of the pairs that are figures of shapes.
        styles: how many portraits there are, of the training alone, which renders and keeps them.

    Raises:
        DatasetError: see `facesjs`.
        OutOfLimits: a number is out of its limits.
    """
    require_svg("lineart")
    number(0, 1, portraits=portraits, shapes=shapes)
    if portraits + shapes > 1:
        raise OutOfLimits(f"portraits and shapes must be at most 1 together, got {portraits:g} and {shapes:g}")
    int_range(1, 1_000_000, styles=styles)
    drawn = facesjs(path, size=size, condition=condition, split=split, faces=faces)
    flat = Portraits(split, size, condition, styles, 2, "lineart")
    return LineArt(drawn, flat, replace(flat, rendering="painted"), Shapes(split, size, condition), portraits, shapes)


@dataclass(frozen=True, eq=False)
class LineArt:
    """The pairs of `lineart`, as many as there are faces of facesjs.

    Attributes:
        drawn: faces of facesjs.
        flat: portraits as line art.
        painted: the same with light and texture.
        figures: of shapes.
        portraits: share of the pairs that are portraits.
        shapes: share of the pairs that are figures of shapes.
    """

    trained_on: ClassVar[str] = (
        "line drawings of faces and of figures of simple shapes, each to be coloured like another picture of such"
    )
    drawn: DrawnFaces
    flat: Any
    painted: Any
    figures: Shapes
    portraits: float
    shapes: float

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
        kind = self._kind(torch.Generator().manual_seed(index))
        if kind == "portrait":
            return self._portrait(index % len(self.flat), index % 2 > 0)
        return self.figures.pair(index) if kind == "shapes" else self.drawn[index]

    def draw(self, index: int, generator: torch.Generator) -> Pair:
        """The same face of facesjs in random colours, drawn by a random hand; or a random portrait or figure.

        Raises:
            IndexError: there is none of this number.
            BrokenSample: a face cannot be drawn.
        """
        kind = self._kind(generator)
        if kind == "portrait":
            painted = _chance(_PAINTED, generator)
            return self._portrait(int(torch.randint(len(self.flat), (), generator=generator)), painted)
        if kind == "shapes":
            figure = int(torch.randint(_FIGURES, (), generator=generator))
            return self.figures.pair(figure, lambda ink: redrawn(ink, generator))
        other, colours = self.drawn.random_exemplar(index, generator)
        outlined, framed = not _chance(UNOUTLINED, generator), _chance(_FRAMED, generator)
        framing = Reframing.drawn(generator) if framed else None
        framings = (framing, None) if _chance(0.5, generator) else (None, framing)
        return self.drawn.pair(index, other, colours, outlined, lambda ink: redrawn(ink, generator), framings)

    def _kind(self, generator: torch.Generator) -> Literal["portrait", "shapes", "face"]:
        drawn = float(torch.rand((), generator=generator))
        if drawn < self.portraits:
            return "portrait"
        return "shapes" if drawn < self.portraits + self.shapes else "face"

    def _portrait(self, index: int, painted: bool) -> Pair:
        pair = self.flat[index]
        if painted:
            shown = self.painted[index]
            pair = replace(pair, exemplar=shown.exemplar, exemplar_condition=shown.exemplar_condition)
        return replace(pair, flow=None, visible=None)


def _chance(share: float, generator: torch.Generator) -> bool:
    return bool(torch.rand((), generator=generator) < share)
