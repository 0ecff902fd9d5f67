"""Laws of conditions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.errors import NothingDrawn
from midms.core.protocols import AnnotationReader, ConditionExtractor
from midms.testing.laws import CHANGED_INPUT, NOT_REPEATED, Laws, close


def strokes(height: int, width: int) -> Float[Tensor, "2 3 y x"]:
    """Two drawings, black on white in [-1, 1]: a frame, and a slanted line."""
    pictures = torch.ones(2, 3, height, width)
    pictures[0, :, height // 4 : height // 4 + 2, width // 4 : -width // 4] = -1
    pictures[0, :, height // 4 : -height // 4, width // 3 : width // 3 + 2] = -1
    for y in range(height):
        pictures[1, :, y, y * (width - 2) // height : y * (width - 2) // height + 2] = -1
    return pictures


class ConditionLaws(Laws):
    """What holds of every condition, of pictures that are finite. Inherit it, and give `make`.

    Attributes:
        make: a class or function that makes the condition, without arguments.
        example: a function that makes two pictures in [-1, 1] of a height and width that show what a person would hand
            in; by default strokes on paper.
    """

    make: Callable[[], ConditionExtractor]
    example: Callable[[int, int], Float[Tensor, "2 3 y x"]] = strokes

    @pytest.fixture
    def condition(self) -> ConditionExtractor:
        """The condition under test."""
        return type(self).make()

    def maps(self, condition: ConditionExtractor, pictures: Float[Tensor, "b 3 Y X"]) -> list[Tensor]:
        """The maps of pictures handed in, brought to 24 x 40, and of photos, as far as they are taken."""
        found = [condition.drawing(pictures, (24, 40))]
        if "test_the_map_of_a_photo_lies_on_it" not in self.exceptions:
            found.append(condition.photo(pictures))
        return found

    def test_the_map_of_a_drawing_has_the_size_asked_for(self, condition: ConditionExtractor) -> None:
        """And is in [0, 1], and shows something.

        Typical cause: `size` is (height, width), not (width, height); no clamp after resizing.
        """
        found = condition.drawing(type(self).example(48, 64), (24, 40))
        assert found.shape == (2, condition.channels, 24, 40), "expected [b, channels, *size], as `channels` declares"
        assert torch.all((found >= 0) & (found <= 1)), "a map is in [0, 1]; pictures come in [-1, 1]"
        assert found.std() > 0, "the map of strokes is of one value; give `example` if it reads something else"

    def test_the_map_of_a_photo_lies_on_it(self, condition: ConditionExtractor) -> None:
        """It has the photo's size, is in [0, 1], and shows something; where the photo is another, there the map is.

        Typical cause: the map is resized, flipped or moved by half a pixel or more.
        """
        pictures = type(self).example(48, 64)
        found = condition.photo(pictures)
        assert found.shape == (2, condition.channels, 48, 64), "expected [b, channels, height, width] of the photo"
        assert torch.all((found >= 0) & (found <= 1)), "a map is in [0, 1]; pictures come in [-1, 1]"
        assert found.std() > 0, "the map is of one value; give `example` if it reads no strokes"
        pictures[..., 48:] = pictures.roll(1, 0)[..., 48:]
        change = (condition.photo(pictures) - found).abs()
        lies = change[..., 40:].mean() > 2 * change[..., :24].mean()
        assert lies, "the right of the photo changed, the map elsewhere: x and y swapped, or flipped?"

    @pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
    def test_pictures_that_show_nothing_do_no_harm(self, condition: ConditionExtractor, value: float) -> None:
        """They have a map in [0, 1], or are refused as showing nothing; of annotations, as none by any ValueError.

        Typical cause: contrast is stretched by a range that is 0.
        """
        try:
            found = self.maps(condition, torch.full((1, 3, 48, 64), value))
        except ValueError as error:
            named = isinstance(error, NothingDrawn) or isinstance(condition, AnnotationReader)
            assert named, f"expected midms.core.errors.NothingDrawn, got {error!r}"
            return
        finite = all(torch.all((one >= 0) & (one <= 1)) for one in found)
        assert finite, (
            "a picture of one value gave numbers outside [0, 1], or NaN: a division by its range or deviation?"
        )

    def test_pictures_of_a_batch_do_not_mix(self, condition: ConditionExtractor) -> None:
        """Each has the map that it has alone.

        Typical cause: a threshold of the whole batch.
        """
        pictures = type(self).example(48, 64)
        for both, alone in zip(self.maps(condition, pictures), self.maps(condition, pictures[1:]), strict=True):
            close(both[1:], alone, "a statistic is taken over the batch, not each picture", rtol=1e-4, atol=1e-4)

    def test_the_same_picture_has_the_same_map(self, condition: ConditionExtractor) -> None:
        """Nothing is drawn at random or remembered, and pictures are left as they were.

        Typical cause: random numbers, or an in-place operation on the picture.
        """
        pictures = type(self).example(48, 64)
        first = self.maps(condition, pictures)
        self.maps(condition, pictures.flip(-1))
        for one, again in zip(first, self.maps(condition, pictures), strict=True):
            assert torch.equal(one, again), NOT_REPEATED
        assert torch.equal(pictures, type(self).example(48, 64)), CHANGED_INPUT

    def test_double_precision_gives_the_same_map(self, condition: ConditionExtractor) -> None:
        """But for rounding, which may move an edge here and there.

        Typical cause: constants of a fixed precision, or thresholds of numbers that are nearly equal.
        """
        pictures = type(self).example(48, 64)
        for one, precise in zip(self.maps(condition, pictures), self.maps(condition, pictures.double()), strict=True):
            assert one.dtype == torch.float32, f"maps of float32 pictures are float32, got {one.dtype}"
            assert (one - precise).abs().mean() < 0.01, "float64 pictures gave another map than the same in float32"
