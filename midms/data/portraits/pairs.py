"""Faces whose correspondence is known exactly: procedural portraits, their flow, their sketches, fixed splits.

    pair = draw_pairs("test", range(4), size=64)
    pair.sketch, pair.exemplar      what a person would hand in
    pair.answer                     geometry B in the style of A: what the translation should be
    pair.place, pair.visible        where each pixel of the answer lies in the exemplar, and whether it shows there

A toy domain: it shows that matching and translation work and how well, not photo realism.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from midms.core.limits import int_range
from midms.core.protocols import ConditionExtractor
from midms.core.torch_defaults import defaults
from midms.data.pair import Pair
from midms.data.portraits import parameters, surface
from midms.data.portraits.hand import UNSTEADY, sketch
from midms.data.portraits.lineart import line_art
from midms.data.portraits.paint import paint
from midms.data.portraits.parameters import Geometry, Style
from midms.data.portraits.surface import HEAD, ID, PORTRAIT_PARTS, pixels
from midms.data.portraits.variety import VARIETIES

__all__ = [
    "HEAD",
    "ID",
    "PORTRAIT_PARTS",
    "RENDERINGS",
    "SPLITS",
    "Faces",
    "Pairs",
    "draw_pairs",
    "exact_flow",
    "generators",
    "render",
    "turns",
]

SPLITS = {"train": 0, "validation": 10_000_000, "test": 20_000_000, "hard": 30_000_000}
"""First seed of each split; ten million seeds each."""
SPLIT_LENGTH = 10_000_000
SIZES = (64, 256)
"""Pixels a side that portraits can have."""
RENDERINGS = ("painted", "lineart")
"""How portraits can look: light and texture; or outlines and fills, flat in some styles, cel-shaded in others."""


@dataclass(frozen=True)
class Faces:
    """A batch of rendered portraits.

    Attributes:
        image: in [-1, 1].
        parts: index into `PORTRAIT_PARTS` of what each pixel shows.
        canonical: longitude and latitude of the head's surface in head units; zero off the head.
        landmarks: (x, y) in [-1, 1], y upwards, of eyes, brows, nose tip, mouth corners and chin.
        landmark_visible: whether each landmark faces the viewer.
        fine_parts: parts at twice the size.
        lines: ink in [0, 1] of line art at twice the size; None of what is painted.
    """

    image: Float[Tensor, "b 3 y x"]
    parts: Int[Tensor, "b y x"]
    canonical: Float[Tensor, "b 2 y x"]
    landmarks: Float[Tensor, "b n 2"]
    landmark_visible: Bool[Tensor, "b n"]
    fine_parts: Int[Tensor, "b y2 x2"]
    lines: Float[Tensor, "b 1 y2 x2"] | None = None


@dataclass(frozen=True)
class Pairs:
    """What goes in, what should come out, and the exact correspondence between the two.

    Attributes:
        sketch: ink in [0, 1] at twice the size, drawn by hand from the answer's parts.
        exemplar: the exemplar's picture in [-1, 1].
        answer: the exact answer in [-1, 1].
        parts: parts of the answer.
        exemplar_parts: parts of the exemplar.
        place: (x, y) in [-1, 1], y downwards, of each answer pixel in the exemplar.
        visible: whether the exemplar shows it.
    """

    sketch: Float[Tensor, "b 1 y2 x2"]
    exemplar: Float[Tensor, "b 3 y x"]
    answer: Float[Tensor, "b 3 y x"]
    parts: Int[Tensor, "b y x"]
    exemplar_parts: Int[Tensor, "b y x"]
    place: Float[Tensor, "b 2 y x"]
    visible: Bool[Tensor, "b y x"]

    @property
    def head(self) -> Bool[Tensor, "b y x"]:
        """Answer pixels that show the head, hair included."""
        return torch.isin(self.parts, torch.tensor(HEAD, device=self.parts.device))

    def pair(self, condition: ConditionExtractor | None = None) -> Pair:
        """The pairs as every data set gives them.

        Args:
            condition: what reads sketches and pictures; without, the sketch's ink is the condition.
        """
        height, width = self.answer.shape[-2:]
        ink = (1 - 2 * self.sketch).expand(-1, 3, -1, -1)
        return Pair(
            condition.drawing(ink, (height, width)) if condition else F.avg_pool2d(self.sketch, 2),
            self.exemplar,
            self.answer,
            condition.photo(self.exemplar) if condition else None,
            self.place,
            self.visible[:, None],
            self.head[:, None],
        )

    def to(self, device: torch.device | str) -> Pairs:
        """The same pairs on another device."""
        return Pairs(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@defaults()
def render(geometry: Geometry, style: Style, size: int, rendering: str = "painted") -> Faces:
    """Render portraits at 64 to 256 pixels, smoothed from twice the size.

    Args:
        geometry: from `parameters.geometry(seeds)`; its device is used.
        style: from `parameters.style(seeds)`, as many.
        size: pixels a side.
        rendering: one of `RENDERINGS`.

    Raises:
        ValueError: the size is not in `SIZES`, geometry and style differ in number, or there is no such rendering.
    """
    int_range(*SIZES, size=size)
    if len(geometry.yaw) != len(style.seeds):
        raise ValueError(f"geometry describes {len(geometry.yaw)} faces, style {len(style.seeds)}")
    if rendering not in RENDERINGS:
        raise ValueError(f"rendering must be one of {', '.join(RENDERINGS)}, got {rendering!r}")
    fine, fine_parts = paint(geometry, style, 2 * size)
    lines = None
    if rendering == "lineart":
        fine, lines = line_art(geometry, style, fine_parts)
    x, y = pixels(size, fine.device)
    seen = surface.surface(geometry, *surface.to_head(geometry, x, y))
    points, front = _landmarks(geometry)
    return Faces(
        image=F.avg_pool2d(fine, 2) * 2 - 1,
        parts=fine_parts[:, ::2, ::2],
        canonical=torch.stack([seen.u, seen.v], 1) * (seen.rim > 0)[:, None],
        landmarks=points,
        landmark_visible=front,
        fine_parts=fine_parts,
        lines=lines,
    )


def _landmarks(g: Geometry) -> tuple[Float[Tensor, "b n 2"], Bool[Tensor, "b n"]]:
    zero = torch.zeros_like(g.yaw)
    spots = [(side * g.eye_dx, g.eye_y) for side in (-1, 1)]
    spots += [(side * g.eye_dx, g.eye_y + g.brow_h) for side in (-1, 1)]
    spots += [
        (zero, zero - 0.25),
        (-g.mouth_w, g.mouth_y + g.smile),
        (g.mouth_w, g.mouth_y + g.smile),
        (zero, zero - 1.0),
    ]
    u, v = (torch.cat(line, 2) for line in zip(*spots, strict=True))
    X, Y, z = surface.project(g, u, v)
    return torch.stack(surface.to_picture(g, X, Y), -1)[:, 0], (z > 0.05)[:, 0]


def exact_flow(
    target: Geometry,
    target_parts: Int[Tensor, "b y x"],
    source: Geometry,
    source_parts: Int[Tensor, "b y x"],
    corner: tuple[int, int] = (0, 0),
    step: int = 1,
) -> tuple[Float[Tensor, "b 2 y2 x2"], Bool[Tensor, "b y2 x2"]]:
    """Where each pixel of the target lies in the source, and whether the source shows it.

    Args:
        target: geometry of the picture whose pixels are asked about.
        target_parts: its parts.
        source: geometry of the picture they are looked up in.
        source_parts: its parts.
        corner: row and column of the first pixel asked about.
        step: every how many pixels.

    Returns:
        (x, y) in [-1, 1] with y downwards (the corners of the picture, not the centres of its corner pixels, are at
        +-1, as `grid_sample(align_corners=False)` reads them), and True where that point faces the viewer, lies inside
        the picture, and one of the four source pixels around it shows the same part.
    """
    chosen = (..., slice(corner[0], None, step), slice(corner[1], None, step))
    target_parts = target_parts[chosen]
    x, y = (line[chosen] for line in pixels(source_parts.shape[-1], target_parts.device))
    place, facing = surface.locate(target, source, target_parts, x, y)
    place = place * torch.tensor([1.0, -1.0], device=place.device)[:, None, None]
    size = source_parts.shape[-1]
    spot = (place + 1) / 2 * size - 0.5
    shows = torch.zeros_like(facing)
    flat = source_parts.flatten(1)
    for dx in (0, 1):
        for dy in (0, 1):
            column, row = (spot[:, 0].floor() + dx).long(), (spot[:, 1].floor() + dy).long()
            inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
            index = (row.clamp(0, size - 1) * size + column.clamp(0, size - 1)).flatten(1)
            shows |= inside & (flat.gather(1, index).view_as(target_parts) == target_parts)
    return place, shows & facing


@defaults()
def turns(split: str, indices: Sequence[int]) -> Float[Tensor, " b"]:
    """How far the two heads of each pair of a split are turned apart: the difference of their yaws, in degrees."""
    source, target = _geometries(split, indices)
    return (target.yaw - source.yaw).abs().flatten().rad2deg()


def _geometries(split: str, indices: Sequence[int]) -> tuple[Geometry, Geometry]:
    """The exemplars' and the answers'."""
    first, hard = SPLITS[split], split == "hard"
    source = parameters.geometry([first + 2 * i for i in indices], yaw=(-0.75, -0.35) if hard else None)
    target = parameters.geometry([first + 2 * i + 1 for i in indices], yaw=(0.35, 0.75) if hard else None)
    return source, target


@defaults()
def draw_pairs(
    split: str,
    indices: Sequence[int],
    size: int,
    device: torch.device | str = "cpu",
    rendering: str = "painted",
    variety: str = "narrow",
) -> Pairs:
    """Pairs of a split: pair i has exemplar (geometry 2i, style i) and answer (geometry 2i + 1, style i).

    In "hard" the two heads are turned to opposite sides, far, and the sketch is drawn by another hand.

    Args:
        split: one of `SPLITS`.
        indices: which pairs; the same index always gives the same pair.
        size: pixels a side, 64 to 256.
        device: where to render.
        rendering: one of `RENDERINGS`; the sketch of line art is its lines, exactly.
        variety: one of `VARIETIES`.

    Raises:
        ValueError: the split, rendering or variety does not exist, or an index is out of its range.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if not all(0 <= i < SPLIT_LENGTH // 2 for i in indices):
        raise ValueError(
            f"pairs of a split are numbered 0 to {SPLIT_LENGTH // 2 - 1}, got {min(indices)} to {max(indices)}"
        )
    if variety not in VARIETIES:
        raise ValueError(f"variety must be one of {', '.join(VARIETIES)}, got {variety!r}")
    first, varied = SPLITS[split], VARIETIES[variety]
    source, target = (
        varied.framed(one, [first + 2 * i + n for i in indices]) for n, one in enumerate(_geometries(split, indices))
    )
    styles = varied.backed(parameters.style([first + i for i in indices]))
    source, target, styles = (parameters.to(p, device) for p in (source, target, styles))
    exemplar, answer = (render(one, styles, size, rendering) for one in (source, target))
    place, visible = exact_flow(target, answer.parts, source, exemplar.parts)
    hand = UNSTEADY if split == "hard" else varied.hand
    strokes = answer.lines
    if strokes is None:
        strokes = torch.cat(
            [
                sketch(parts[None], hand, torch.Generator().manual_seed(first + int(i)))
                for parts, i in zip(answer.fine_parts, indices, strict=True)
            ]
        )
    return Pairs(strokes, exemplar.image, answer.image, answer.parts, exemplar.parts, place, visible)


def generators(seed: int, indices: Sequence[int]) -> list[torch.Generator]:
    """One for the noise of each pair, which follows from the seed and the pair's number alone.

    Args:
        seed: of the noise.
        indices: the pairs' numbers.
    """
    return [torch.Generator().manual_seed((seed * 1_000_003 + i) % 2**63) for i in indices]
