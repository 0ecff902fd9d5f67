"""The colours of a result at its drawing's own resolution, region by region, under the lines as they were drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from midms.core.limits import number
from midms.core.types import CropFn, Finished
from midms.images.finishers.evidence import Evidence, commonest
from midms.images.finishers.lines import line_layer
from midms.images.finishers.palette import Colour, flat_colours, nearest_colours
from midms.images.finishers.regions import find_regions, line_distance, nearest_region, shared_borders
from midms.images.finishers.series import Decided, SeenDrawing, agreed, drawing_key, seen_drawing
from midms.images.reading import resize

FINE = 3
"""Pixels a side in which a pixel of the result is looked at."""
_LINE = 0.3
"""Opacity from which a pixel of the line layer divides the paper."""
NO_LINES = "no lines on even paper were found, so the result is only enlarged: is the drawing a photo?"
"""What is said of a drawing without."""
_CORE = 1.0
"""Pixels of the result from the nearest line from which a prediction is of one region alone."""
_FEWEST = 1.0
"""Pixels of the result in a region's core from which it has a colour of its own."""
_DEPTH, _DEPTHS = 0.5, 8
"""Steps by which it is found out how wide the fringe along lines is, in pixels of the result, and how many."""
_RARE = 0.03
"""Share of pixels that may be unlike their region's colour outside of the fringe, beyond those far from all lines."""
_STRIP = 128
"""Rows that are smoothed at once, to stay within memory."""
_SMOOTH = 2.0
"""Reach of the smoothing where regions are not flat, in pixels of the result."""


_BYTES = 110
"""That a pixel of the drawing takes at the peak: 107 of 1 million were measured, with the drawing itself 96 of 16."""


@dataclass(frozen=True)
class Composite:
    """Flat regions painted with the colour that most of their prediction has, the rest smoothly; the lines on top.

    To choose for line drawings that are to be coloured flat.

    Attributes:
        gap: the widest gap in a line that is closed, as a share of the drawing's longer side.
        tolerance: how far colours differ in any channel that are the same, as a share of the range.
        agreement: share of a region that must have its colour for it to be painted flat.
    """

    finds_regions: ClassVar[bool] = True
    gap: float = 0.015
    tolerance: float = 0.1
    agreement: float = 0.3

    def __post_init__(self) -> None:
        number(0, 0.2, gap=self.gap)
        number(0, 1, above=True, tolerance=self.tolerance)
        number(0, 1, agreement=self.agreement)

    def __call__(
        self,
        coloured: Float[Tensor, "1 3 y x"],
        drawing: Float[Tensor, "1 3 Y X"],
        exemplars: Sequence[Float[Tensor, "1 3 _ _"]],
        translate_crop: CropFn,
    ) -> Finished:
        """The drawing's lines over a colour layer of its size; the result is all that is asked, none of its parts.

        Args:
            coloured: the result, in [-1, 1].
            drawing: in [-1, 1].
            exemplars: whose flat colours regions have, where these are near to what was predicted.
            translate_crop: not used.
        """
        prepared = self.prepare(coloured, drawing)
        return self.paint(prepared, self.decide(prepared, flat_colours(exemplars)))

    def in_series(self, seen: Sequence[SeenDrawing]) -> CompositeInSeries:
        """The same for the drawings of a series, whose regions decide together.

        Args:
            seen: what `see` keeps of each.
        """
        return CompositeInSeries(self, agreed(seen, 2 * self.tolerance))

    def see(
        self,
        coloured: Float[Tensor, "1 3 y x"],
        drawing: Float[Tensor, "1 3 Y X"],
        exemplars: Sequence[Float[Tensor, "1 3 _ _"]],
        features: Float[Tensor, "1 d _ _"],
    ) -> SeenDrawing:
        """What is kept of a drawing of a series until all of them are seen.

        Args:
            coloured: the result, in [-1, 1].
            drawing: in [-1, 1].
            exemplars: as when it is finished.
            features: of the drawing, by which its regions are found again in the others.
        """
        prepared = self.prepare(coloured, drawing)
        decided = self.decide(prepared, palette := flat_colours(exemplars))
        regions = decided.numbers[prepared.view.regions]
        thin = (decided.evidence.voting == 0)[regions] & (regions > 0)
        voting = _core(prepared.view) | thin
        votes = nearest_colours(prepared.view.colours[voting], palette)
        return seen_drawing(drawing, decided, regions, (regions[voting], votes), features, palette)

    def prepare(self, coloured: Float[Tensor, "1 3 y x"], drawing: Float[Tensor, "1 3 Y X"]) -> Prepared:
        """Lines and regions of a drawing, and the result where regions vote."""
        lines = line_layer(drawing)
        covered = lines[0, 3].cpu().numpy() > _LINE
        shape = covered.shape
        cell = max(whole / some for whole, some in zip(shape, coloured.shape[-2:], strict=True))
        distance = line_distance(covered)
        regions = find_regions(covered, distance, self.gap * max(shape), 4 * cell * cell)
        height, width = (min(FINE * some, whole) for some, whole in zip(coloured.shape[-2:], shape, strict=True))
        places = np.ix_(_centres(height, shape[0]), _centres(width, shape[1]))
        view = _View(_pixels(resize(coloured, (height, width))), regions[places], distance[places] / cell)
        return Prepared(lines.to(coloured), regions, view, () if covered.any() else (NO_LINES,))

    def decide(self, prepared: Prepared, palette: Sequence[Colour]) -> Decided:
        """The colour of each region, regions that have the same together, as near as may be one of a palette."""
        found = self._evidence(prepared.view, palette, int(prepared.regions.max()) + 1)
        numbers, evidence = self._joined(prepared.regions, found)
        evidence = evidence._replace(colour=nearest_colours(evidence.colour, palette))
        flat = evidence.agreeing >= self.agreement * np.maximum(evidence.voting, 1)
        return Decided(numbers, evidence, flat, np.zeros_like(flat))

    def paint(self, prepared: Prepared, decided: Decided) -> Finished:
        """The layers, of the drawing's size."""
        numbers, evidence, flat, settled = decided
        regions, shape = numbers[prepared.regions], prepared.regions.shape
        view = prepared.view._replace(regions=numbers[prepared.view.regions])
        named = torch.from_numpy(nearest_region(regions)[1])
        colours = torch.from_numpy(evidence.colour)[named].permute(2, 0, 1)[None]
        uneven = np.where(settled[view.regions], 0, self._dissent(view, evidence))
        if uneven.any() or not flat[1:].all():
            share = torch.where(torch.from_numpy(flat)[named], resize(_planes(uneven[..., None]), shape), 1)
            colours = torch.lerp(colours, resize(self._smooth(view, evidence, uneven), shape), share)
        return Finished(colours.to(prepared.lines), prepared.lines, named[None], prepared.warnings)

    def memory(self, result: tuple[int, int], drawing: tuple[int, int]) -> int:
        """Bytes at the peak, in proportion to the drawing's pixels."""
        return _BYTES * drawing[0] * drawing[1]

    def _evidence(self, view: _View, palette: Sequence[Colour], count: int) -> Evidence:
        """The colour of each region by what is well inside of it."""
        core = _core(view)
        votes = nearest_colours(view.colours[core], palette)
        return commonest(view.regions[core], votes, count, 2 * self.tolerance)

    def _joined(self, regions: Int[np.ndarray, "Y X"], evidence: Evidence) -> tuple[Int[np.ndarray, "n"], Evidence]:
        """New numbers: regions side by side, without a line between them, are one if colours agree or one has none."""
        pairs, lengths = shared_borders(regions)
        home = list(range(len(evidence.voting)))

        def first(one: int) -> int:
            while home[one] != one:
                one = home[one]
            return one

        known = evidence.voting >= _FEWEST * FINE * FINE
        for one, other in pairs[np.argsort(-lengths, kind="stable")].tolist():
            like = np.abs(evidence.colour[one] - evidence.colour[other]).max() <= 2 * self.tolerance
            if like or not (known[one] and known[other]):
                home[max(first(one), first(other))] = min(first(one), first(other))
        roots, numbers = np.unique([first(one) for one in home], return_inverse=True)
        joined = [np.bincount(numbers, votes, len(roots)) for votes in (evidence.agreeing, evidence.voting)]
        weighted = evidence.colour * evidence.agreeing[:, None]
        sums = np.stack([np.bincount(numbers, weighted[:, channel], len(roots)) for channel in range(3)], 1)
        colour = sums / np.maximum(joined[0], 1)[:, None]
        return numbers.astype(np.int32), Evidence(*(x.astype(np.float32) for x in (colour, *joined)))

    def _dissent(self, view: _View, evidence: Evidence) -> Float[np.ndarray, "y x"]:
        """How far what is predicted differs from the region's colour, from 0 to 1, where that is no mere fringe.

        A fringe, such as where the prediction mixes in the line beside it, is not as wide as a pixel of the result.
        """
        import cv2

        away = np.abs(view.colours - evidence.colour[view.regions]).max(2) / (2 * self.tolerance)
        unlike = (away > 1) & (view.regions > 0)
        brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (FINE, FINE))
        wide = cv2.erode((unlike & (view.clear >= _fringe(unlike, view))).view(np.uint8), brush)
        found = cv2.dilate(wide, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (6 * FINE + 1, 6 * FINE + 1)))
        return np.where(unlike & (found > 0), (away - 1).clip(0, 1), 0).astype(np.float32)

    def _smooth(self, view: _View, evidence: Evidence, uneven: Float[np.ndarray, "y x"]) -> Float[Tensor, "1 3 y x"]:
        """The prediction smoothed within regions: what is near lines counts less, what has another colour not at all.

        The joint bilateral filter (Petschnigg et al. 2004, eq. 5), guided by the regions' own colours.
        """
        from kornia.filters import joint_bilateral_blur

        weight = view.clear.clip(0.05, 1)[..., None]
        even = (view.regions > 0) & (uneven == 0)
        guide = np.where(even[..., None], evidence.colour[view.regions], view.colours)
        reach = 2 * round(_SMOOTH * FINE / 2) + 1
        planes, guides = _planes(np.concatenate([view.colours * weight, weight], 2)), _planes(guide)
        strips, beside = [], reach // 2
        for top in range(0, len(guide), _STRIP):
            first, last = max(top - beside, 0), min(top + _STRIP + beside, len(guide))
            strip, beneath = planes[..., first:last, :], guides[..., first:last, :]
            found = joint_bilateral_blur(strip, beneath, reach, self.tolerance, (reach / 3, reach / 3), "replicate")
            strips.append(found[..., top - first : top - first + _STRIP, :])
        smooth = torch.cat(strips, -2)
        return smooth[:, :3] / smooth[:, 3:]


class _View(NamedTuple):
    """The prediction and the regions where both are looked at."""

    colours: Float[np.ndarray, "y x 3"]
    regions: Int[np.ndarray, "y x"]
    clear: Float[np.ndarray, "y x"]


class Prepared(NamedTuple):
    """What is seen of a drawing and its result: the lines' layer, all regions, and the result where regions vote."""

    lines: Float[Tensor, "1 4 Y X"]
    regions: Int[np.ndarray, "Y X"]
    view: _View
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class CompositeInSeries:
    """`Composite` for drawings of a series, each as it was decided with the others; other drawings by themselves.

    Attributes:
        alone: how a drawing by itself is finished.
        decided: of each drawing of the series, by its `drawing_key`.
    """

    finds_regions: ClassVar[bool] = True
    alone: Composite
    decided: Mapping[bytes, Decided]

    def __call__(
        self,
        coloured: Float[Tensor, "1 3 y x"],
        drawing: Float[Tensor, "1 3 Y X"],
        exemplars: Sequence[Float[Tensor, "1 3 _ _"]],
        translate_crop: CropFn,
    ) -> Finished:
        """As `Composite` does."""
        decided = self.decided.get(drawing_key(drawing))
        if decided is None:
            return self.alone(coloured, drawing, exemplars, translate_crop)
        return self.alone.paint(self.alone.prepare(coloured, drawing), decided)

    def memory(self, result: tuple[int, int], drawing: tuple[int, int]) -> int:
        """Bytes at the peak, in proportion to the drawing's pixels."""
        return self.alone.memory(result, drawing)


def _core(view: _View) -> Bool[np.ndarray, "y x"]:
    """What is well inside of regions."""
    return (view.regions > 0) & (view.clear >= _CORE)


def _fringe(unlike: Bool[np.ndarray, "y x"], view: _View) -> float:
    """How far from lines the prediction is mixed across them: from where on it is as often unlike as far from any."""
    inside = view.regions > 0
    depths = np.minimum(view.clear[inside] / _DEPTH, _DEPTHS).astype(np.int64)
    asked = np.bincount(depths, minlength=_DEPTHS + 1)
    share = np.bincount(depths, unlike[inside], _DEPTHS + 1) / np.maximum(asked, 1)
    even = share <= share[-1] + _RARE
    return max(_CORE, float(np.argmax(even)) * _DEPTH)


def _pixels(planes: Float[Tensor, "1 c y x"]) -> Float[np.ndarray, "y x c"]:
    return planes[0].permute(1, 2, 0).float().cpu().numpy()


def _planes(pixels: Float[np.ndarray, "y x c"]) -> Float[Tensor, "1 c y x"]:
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]


def _centres(count: int, length: int) -> Int[np.ndarray, "n"]:
    """Places of so many cells' centres on a side."""
    return ((np.arange(count) + 0.5) * length / count).astype(np.int64)
