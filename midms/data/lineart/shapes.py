"""Figures of closed shapes, each seen twice in the same colours: line art of everything that is no face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from midms.core.protocols import ConditionExtractor
from midms.data.lineart.drawn import drawn_pair
from midms.data.lineart.figures import Shape, colours, figure, seen_again
from midms.data.pair import Pair

_SPLITS = ("train", "validation", "test")
UNOUTLINED = 0.3
"""Of the exemplars, those without outlines."""
_SMOOTH = 2
"""How much larger drawings are painted than shown; pictures, twice that."""
_SUBPIXEL = 4
"""Bits of a place after the point, as OpenCV takes it."""
_LINE = 255
"""In a map of parts, what is an outline; 0 is the background."""
_WIDTHS = (0.006, 0.022)
"""Of outlines, in widths of the picture."""
_ALIKE, _MISSING = 0.15, 0.3
"""Of the pairs, those whose two views hardly differ; of the others, those in one view of which a part is missing."""
_GRADIENT, _CEL = 0.2, 0.2
"""Of the exemplars, those with a soft gradient, and those with a shade along one side of each part."""
_PROBE, _LEAST, _SOLID, _FEWEST = 128, 20, 0.4, 3
"""Of a view: the pixels a side at which it is judged; the fewest pixels of a part that do not touch others, in all and
of its own; and the fewest parts, of two colours at least."""


@dataclass(frozen=True)
class Scene:
    """A figure, seen twice.

    Attributes:
        exemplar: its parts as the exemplar shows them, back to front.
        drawing: the same figure as it is drawn.
        palette: colours of the slots, 0 to 255; the first is the background's.
        widths: of the outlines of exemplar and drawing, in widths of the picture; 0 is without.
        gradient: how much lighter the exemplar gets to the right and downwards, of its range.
        shade: how far the shade along one side of each part reaches, right and down, in widths of the picture.
    """

    exemplar: list[Shape]
    drawing: list[Shape]
    palette: UInt8[np.ndarray, "n 3"]
    widths: tuple[float, float]
    gradient: Float[np.ndarray, " 2"]
    shade: Float[np.ndarray, " 2"]


@dataclass(frozen=True)
class Shapes:
    """Pairs of figures, each from a number; a drawing has no colour that its exemplar does not show.

    Attributes:
        split: "train", "validation" or "test"; they have no figure in common.
        size: pixels a side.
        condition: what reads line drawings and pictures; without, the condition is the drawing's ink, one channel, and
            there are no conditions of exemplars.
    """

    split: str
    size: int
    condition: ConditionExtractor | None = None

    def pair(self, number: int, redraw: Callable[[Tensor], Tensor] | None = None) -> Pair:
        """A pair, always the same; the foreground is the figure.

        Args:
            number: what it follows from, not negative.
            redraw: from the drawing's ink [1 1 y x] in [0, 1] to that of another hand.

        Raises:
            BrokenSample: the drawing cannot be read.
        """
        scene = self.scene(number)
        side = 2 * _SMOOTH * self.size
        labels = _labels(scene.drawing, side, scene.widths[1])
        target = _coloured(labels, scene.drawing, scene.palette, self.size)
        drawing = _line_drawing(labels, self.size if self.condition is None else 2 * self.size)
        foreground = torch.from_numpy(_labels(scene.drawing, self.size) > 0)[None, None]
        exemplar = self._exemplar(scene, side)
        name = f"shapes, {self.split} figure {number}"
        return drawn_pair(drawing, exemplar, target, foreground, self.condition, redraw, name)

    def drawing(self, number: int, side: int) -> Float[Tensor, "1 3 y x"]:
        """The line drawing of a pair in [-1, 1], of any number of pixels a side."""
        scene = self.scene(number)
        return _line_drawing(_labels(scene.drawing, _SMOOTH * side, scene.widths[1]), side)

    def scene(self, number: int) -> Scene:
        """What the pair of a number shows."""
        rng = np.random.default_rng([_SPLITS.index(self.split), number])
        while True:
            alike = rng.random() < _ALIKE
            whole = figure(rng, alike)
            change = 0.15 if alike else 1.0
            views = [[*whole], seen_again(whole, rng, change)]
            if not alike and rng.random() < _MISSING:
                del views[rng.integers(2)][rng.integers(1, len(whole))]
            exemplar, drawing = map(_seen, views)
            shown = {part.slot for part in exemplar}
            drawing = _seen([part for part in drawing if part.slot in shown])
            if len(drawing) >= _FEWEST and len({part.slot for part in drawing}) > 1:
                break
        palette = colours(rng, 1 + max(part.slot for part in whole))
        own, drawn = rng.uniform(*_WIDTHS, 2)
        kind, angle, reach = rng.random(), rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.06)
        light = np.array([np.cos(angle), np.sin(angle)])
        return Scene(
            exemplar,
            drawing,
            palette,
            (0.0 if rng.random() < UNOUTLINED else own, drawn),
            light * rng.uniform(0.05, 0.15) * (kind < _GRADIENT),
            light * reach * (_GRADIENT <= kind < _GRADIENT + _CEL),
        )

    def _exemplar(self, scene: Scene, side: int) -> Float[Tensor, "1 3 y x"]:
        labels = _labels(scene.exemplar, side, scene.widths[0])
        picture = _coloured(labels, scene.exemplar, scene.palette, self.size)
        light = torch.ones(1, 1, self.size, self.size)
        if scene.shade.any():
            plain = _labels(scene.exemplar, side)
            right, down = (scene.shade * side).round().astype(int)
            shaded = (plain != np.roll(plain, (down, right), (0, 1))) & (plain > 0)
            light -= 0.25 * _shrunk(255 * shaded.astype(np.uint8), self.size) / 255
        if scene.gradient.any():
            across = torch.linspace(-1, 1, self.size)
            light += across * scene.gradient[0] + across[:, None] * scene.gradient[1]
        return ((picture + 1) * light - 1).clamp(-1, 1)


def _seen(parts: list[Shape]) -> list[Shape]:
    """Without the parts of which hardly anything shows."""
    import cv2

    square = np.ones((3, 3), np.uint8)
    while parts:
        labels = _labels(parts, _PROBE)
        within = labels[cv2.erode(labels, square) == cv2.dilate(labels, square)]
        area, solid = (np.bincount(x.ravel(), minlength=len(parts) + 1)[1:] for x in (labels, within))
        hidden = np.flatnonzero((solid < _LEAST) | (solid < _SOLID * area))
        if not len(hidden):
            break
        parts = [part for index, part in enumerate(parts) if index != hidden[-1]]
    return parts


def _labels(parts: list[Shape], side: int, width: float = 0) -> UInt8[np.ndarray, "y x"]:
    """Which part each pixel shows, from 1, in front of those before it; and outlines, unless their width is 0."""
    import cv2

    canvas = np.zeros((side, side), np.uint8)
    for number, part in enumerate(parts, 1):
        points = np.round((part.outline + 1) * (side / 2 * 2**_SUBPIXEL)).astype(np.int32)
        cv2.fillPoly(canvas, [points], number, cv2.LINE_8, _SUBPIXEL)
        if width:
            thick = max(1, round(width * side))
            cv2.polylines(canvas, [points], True, _LINE, thick, cv2.LINE_8, _SUBPIXEL)
    return canvas


def _coloured(
    labels: UInt8[np.ndarray, "Y X"], parts: list[Shape], palette: UInt8[np.ndarray, "n 3"], size: int
) -> Float[Tensor, "1 3 y x"]:
    import cv2

    table = np.zeros((1, 256, 3), np.uint8)
    table[0, : len(parts) + 1] = palette[[0, *(part.slot for part in parts)]]
    return _shrunk(cv2.LUT(cv2.merge([labels] * 3), table), size) / 127.5 - 1


def _line_drawing(labels: UInt8[np.ndarray, "Y X"], side: int) -> Float[Tensor, "1 3 y x"]:
    ink = _shrunk(255 * (labels == _LINE).astype(np.uint8), side) / 255
    return (1 - 2 * ink).expand(-1, 3, -1, -1)


def _shrunk(picture: UInt8[np.ndarray, "..."], size: int) -> Float[Tensor, "1 c y x"]:
    import cv2

    small = np.atleast_3d(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA))
    return torch.from_numpy(small).permute(2, 0, 1)[None].float()
