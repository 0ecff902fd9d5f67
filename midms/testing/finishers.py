"""Laws of finishers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.protocols import Finisher
from midms.core.types import Finished
from midms.images.reading import resize
from midms.testing.conditions import strokes
from midms.testing.laws import CHANGED_INPUT, NOT_REPEATED, Laws, close, normals


def smooth_picture(height: int, width: int) -> Float[Tensor, "1 3 y x"]:
    """A picture in [-1, 1] whose colours change slowly."""
    return resize(normals(0, 1, 3, 3, 4).float().clamp(-1, 1), (height, width))


class FinisherLaws(Laws):
    """What holds of every finisher, of pictures that are finite. Inherit it, and give `make`.

    Attributes:
        make: a class or function that makes the finisher, without arguments.
    """

    make: Callable[[], Finisher]

    @pytest.fixture
    def finisher(self) -> Finisher:
        """The finisher under test."""
        return type(self).make()

    def finished(self, finisher: Finisher, coloured: Tensor, drawing: Tensor | None = None) -> Finished:
        """A result finished with a drawing of 60 x 80 pixels, or another; exemplar and each part are the result."""
        drawing = strokes(60, 80)[:1] if drawing is None else drawing
        return finisher(coloured, drawing, [coloured], lambda box: coloured)

    def test_a_result_has_the_drawings_proportions(self, finisher: Finisher) -> None:
        """Its layers are of one size and in their ranges, and regions count from 1.

        Typical cause: layers of several sizes, values out of range, or a region numbered 0.
        """
        found = self.finished(finisher, smooth_picture(24, 32))
        height, width = found.image.shape[-2:]
        assert height * 4 == width * 3, f"a drawing of 60 x 80 gave a result of {height} x {width}"
        assert found.colours.shape == (1, 3, height, width), "`colours` has another size than `image`"
        assert found.image.isfinite().all(), "the result has NaN or infinite numbers"
        assert found.colours.abs().max() <= 1.5, "colours are in [-1, 1], but for some overshoot"
        if found.lines is not None:
            assert found.lines.shape == (1, 4, height, width), "`lines` are red, green, blue and opacity, as large"
            assert found.lines[:, :3].abs().max() <= 1, "colours of lines are in [-1, 1]"
            assert torch.all((found.lines[:, 3] >= 0) & (found.lines[:, 3] <= 1)), "opacity is in [0, 1]"
        if found.regions is not None:
            assert found.regions.shape == (1, height, width), "`regions` is [1, height, width] of the result"
            assert found.regions.min() >= 1 and not found.regions.dtype.is_floating_point, "regions count from 1"
        assert (found.regions is not None) == getattr(finisher, "finds_regions", False), "which it declares"

    def test_a_result_of_one_colour_keeps_it(self, finisher: Finisher) -> None:
        """Under the lines, wherever they are.

        Typical cause: colours of the drawing's paper or lines get into the areas.
        """
        colour = torch.tensor([0.5, -0.25, 0.75]).view(1, 3, 1, 1)
        found = self.finished(finisher, colour.repeat(1, 1, 24, 32)).colours
        close(found, colour.expand_as(found), "colours under the lines changed", rtol=0, atol=1e-3)

    @pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
    def test_drawings_that_show_nothing_do_no_harm(self, finisher: Finisher, value: float) -> None:
        """The result is nearly what it was.

        Typical cause: a region or a line is expected to be there.
        """
        coloured = smooth_picture(24, 32)
        found = self.finished(finisher, coloured, torch.full((1, 3, 60, 80), value)).image
        assert (resize(found, (24, 32)) - coloured).abs().mean() < 0.1, "an empty drawing changed the result"

    def test_the_same_is_finished_alike(self, finisher: Finisher) -> None:
        """Nothing is drawn at random or remembered, and pictures are left as they were.

        Typical cause: random numbers, or an in-place operation on a picture.
        """
        coloured, drawing = smooth_picture(24, 32), strokes(60, 80)[1:]
        first = self.finished(finisher, coloured, drawing).image
        self.finished(finisher, coloured.flip(-1), drawing)
        assert torch.equal(first, self.finished(finisher, coloured, drawing).image), NOT_REPEATED
        kept = torch.equal(coloured, smooth_picture(24, 32)) and torch.equal(drawing, strokes(60, 80)[1:])
        assert kept, CHANGED_INPUT

    def test_precision_is_kept(self, finisher: Finisher) -> None:
        """In double precision a result is nearly the same.

        Typical cause: the result goes through 8 bits.
        """
        single, double = (
            self.finished(finisher, smooth_picture(24, 32).to(t)).image for t in (torch.float32, torch.float64)
        )
        assert double.dtype == torch.float64, f"a result of float64 pictures is float64, got {double.dtype}"
        assert (single - double).abs().mean() < 0.01, "float64 gives another result than float32"
