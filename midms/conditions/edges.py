"""Edges of a photo, and the distance to them."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from midms.conditions.strokes import edges, line_map, resize_area
from midms.core.limits import number
from midms.core.types import Page, scaling
from midms.images.paper import contrast_with_paper

_SIDE, _PLAIN = 128, 0.06
"""Pixels a side at which a picture is tried for being a drawing, and the contrast up to which a pixel is bare paper."""
_DRAWN = 0.6
"""Share of bare paper from which a picture is taken for a drawing.

Of 24 drawings of the test and validation splits it is 0.88 at least, of their exemplars 0.38 at most; of scikit-image's
eleven photographs 0.48 but for the moon before a black sky, 0.90.
"""


@dataclass(frozen=True)
class Edges:
    """Colour edges in [0, 1] and the distance to the nearest, for conditions that are photos themselves.

    To choose where what has the structure is a photo, and the model was trained on strokes.

    Attributes:
        threshold: strength of the edge from which distance is measured.
    """

    threshold: float = 0.35

    def __post_init__(self) -> None:
        number(0, 1, threshold=self.threshold)

    @property
    def channels(self) -> int:
        """Edges and distance."""
        return 2

    def page(self, picture: Float[Tensor, "1 3 Y X"]) -> Page:
        """The picture as it is, with a warning where it is a drawing already."""
        bare = contrast_with_paper(resize_area(picture, (_SIDE, _SIDE))) < _PLAIN
        drawn = (
            "the drawing is one already: edges takes both sides of each of its lines, and the condition sketch"
            " (--condition-from sketch) the lines themselves",
        )
        return Page(picture, scaling(1, 1), drawn if bare.float().mean() > _DRAWN else ())

    def drawing(self, picture: Float[Tensor, "b 3 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 2 y x"]:
        """The map of a photo in [-1, 1], brought to `size` (height, width)."""
        return self.photo(resize_area(picture, size).clamp(-1, 1))

    def photo(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 2 Y X"]:
        """The map of a photo in [-1, 1]."""
        return line_map(edges(image), self.threshold)
