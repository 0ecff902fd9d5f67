"""What a translation gives: the picture, how it came about, where its pixels come from."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from midms.core.limits import LARGEST, int_range, number
from midms.core.types import Finished
from midms.images import PictureError
from midms.images.arrays import is_array, to_array
from midms.images.figure import Line, Sheet, colour_map
from midms.images.frame import Frame
from midms.images.page import HtmlPage
from midms.pipeline.correspondence import Origins, correspondences, origins
from midms.pipeline.explain import explanation_page
from midms.pipeline.finishing import layer_pictures
from midms.pipeline.match_rows import MatchRows
from midms.pipeline.request import Request
from midms.pipeline.save import save_translation
from midms.pipeline.saved import as_saved

_SMALLEST, _SIDE = 8, 256
"""Pixels a side of a figure's pictures, the fewest and the usual."""


class PixelOrigin(NamedTuple):
    """Where a pixel of a result comes from.

    Attributes:
        exemplar: its number, from 0.
        place: (x, y) in that exemplar's own pixels, as it was handed in: the mean of the places that the match takes
            from, or the likeliest of them where the mean lies apart from it, as between two places that are alike.
        confidence: in [0, 1].
        cycle_error: how far from itself the pixel's cell comes back, in widths: shares of the result's longer side.
        distribution: how much the pixel's cell takes from the cell of each pixel of the exemplar, which is of the size
            at which it was matched.
        near: how much of it, in [0, 1], is from the likeliest cell and those that touch it; `place` is in one of them.
    """

    exemplar: int
    place: tuple[float, float]
    confidence: float
    cycle_error: float
    distribution: Float[Tensor, "Y X"]
    near: float


@dataclass(frozen=True)
class Translation:
    """A translated picture and how it came about.

    Attributes:
        image: the result, as its finisher leaves it.
        warp: the exemplar under the first level's match, decoded.
        confidence: in the last match, at each pixel of the result, in [0, 1].
        flow: (x, y) to add to a pixel of the result to find the pixel of the exemplar that the last match takes.
        source: from which exemplar the last match takes each pixel of the result, from 0.
        correspondences: (x, y) in the result and (x, y) in the exemplar of the most telling points, in pixels; of
            those only whose match is at one place, so that there may be few or none.
        condition: the drawing as it was read, of a photo the sheet alone; or a picture of the annotation.
        condition_map: what the method was given of it, in [0, 1], at each pixel of the result.
        strokes: the map's strokes, dark on light; None where the condition is an annotation, which `condition` shows.
        exemplar: at the size at which it was matched; several side by side.
        stages: the predicted picture at each level, decoded when it is asked for; a finisher was given the last.
        frames: of the condition, and of each exemplar: their sizes as they were matched, and the way back.
        warnings: what a person should know before trusting the result, a line each.
        finished: the result in layers; None without a finisher.
        match_rows: lists the rows of the last match, when it is called first.
        request: what was asked for.

    Pixels of the result, in what is not a picture, are those of the last of `stages`.
    """

    image: Image.Image
    warp: Image.Image
    confidence: Float[Tensor, "Y X"]
    flow: Float[Tensor, "2 Y X"]
    source: Int[Tensor, "Y X"]
    correspondences: Float[Tensor, "n 4"]
    condition: Image.Image
    condition_map: Float[Tensor, "k Y X"]
    strokes: Image.Image | None
    exemplar: Image.Image
    stages: Sequence[Image.Image]
    frames: tuple[Frame, ...]
    match_rows: Callable[[], MatchRows]
    request: Request
    warnings: tuple[str, ...] = ()
    finished: Finished | None = None

    def layers(self) -> dict[str, Image.Image]:
        """Pictures of the result's colours, lines and regions, by these names; none where it has no such layers."""
        return {} if self.finished is None else layer_pictures(self.finished)

    def exemplars(self) -> list[Image.Image]:
        """Each exemplar at the size at which it was matched."""
        pictures, left = [], 0
        for height, width in (frame.picture for frame in self.frames[1:]):
            pictures.append(self.exemplar.crop((left, 0, left + width, height)))
            left += width
        return pictures

    def origins(self, points: object | None = None) -> Origins:
        """Where points come from, in the pixels of the pictures as they were handed in.

        Args:
            points: (x, y) of pixels of the last of `stages` [n 2], in any array, rounded to whole ones; by default
                those of `correspondences`.

        Raises:
            PictureError: they are no such points, or one lies outside the result.
        """
        pairs = self.correspondences
        if points is not None:
            pairs = correspondences(self._pixels(points), self.flow, (self.exemplar.height, self.exemplar.width))
        return origins(pairs, self.source, self.frames[0], self.frames[1:])

    def at(self, x: float, y: float) -> PixelOrigin:
        """Where a pixel of `image` comes from.

        Args:
            x: from the left, counted from 0.
            y: from the top.

        Raises:
            PictureError: it lies outside.
        """
        place = _share((x, y), self.image.size, "result")
        (column, row), rows = self._matched(place), self.match_rows()
        (there,), near = rows.main_places(torch.tensor([[column, row]]), self.flow, self.source)
        number, cell = int(self.source[row, column]), rows.row_at(place)
        frame = self.frames[1 + number]
        there_x, there_y = frame.origins(there[None] * torch.tensor(frame.picture[::-1]) - 0.5)[0].tolist()
        return PixelOrigin(
            number,
            (there_x, there_y),
            float(self.confidence[row, column]),
            float(rows.cycle.flatten()[cell]),
            rows.taken_by(cell, number),
            float(near),
        )

    def destinations(self, x: float, y: float, exemplar: int = 0) -> Float[Tensor, "Y X"]:
        """How much each pixel of the result takes from a place of an exemplar, at the size at which it was matched.

        Args:
            x: from the left, in pixels of the exemplar as it was handed in.
            y: from the top.
            exemplar: its number, from 0.

        Raises:
            PictureError: the place lies outside.
            OutOfLimits: there is no such exemplar.
        """
        int_range(0, len(self.frames) - 2, exemplar=exemplar)
        frame = self.frames[1 + exemplar]
        return self.match_rows().taken_from(_share((x, y), frame.handed_in, "exemplar"), exemplar)

    def save(self, folder: str | Path) -> None:
        """Write all of it to a folder, for `midms explain`, other programs, and to make it again.

        Pictures as PNG, exemplars and stages among them, the flow as npz, Middlebury's .flo and KITTI's PNG, rows of
        the match as safetensors, correspondences and settings as JSON, what was handed in, and `reproduce.py`. The
        folder is written beside and takes its place as one; a result that was saved there before is gone then.

        Raises:
            PictureError: the folder holds something else, or cannot be written.
        """
        save_translation(self, Path(folder))

    def explain(self) -> HtmlPage:
        """The page of `midms explain`, which answers clicks: a notebook shows it, as text it can be written to a file.

        It has the whole match in it, half a megabyte for pictures of 64 pixels a side and a few for 512.
        """
        return explanation_page(as_saved(self))

    def _repr_png_(self) -> bytes:
        """What a notebook shows: the figure."""
        file = io.BytesIO()
        self.figure().save(file, "PNG")
        return file.getvalue()

    def _matched(self, place: tuple[float, float]) -> tuple[int, int]:
        """The pixel at the size that is matched, of a place in shares of width and height."""
        width, height = self.warp.size
        return min(int(place[0] * width), width - 1), min(int(place[1] * height), height - 1)

    def _pixels(self, points: object) -> Int[Tensor, "n 2"]:
        if not is_array(points):
            raise PictureError(f"points: expected an array of (x, y), got {type(points).__name__}")
        pixels = torch.tensor(to_array(points, "points"), dtype=torch.float64, device="cpu").round()
        if pixels.ndim != 2 or pixels.shape[1] != 2:
            raise PictureError(f"points: expected (x, y) of each, got the shape {list(pixels.shape)}")
        extent = self.warp.size
        outside = ~((pixels >= 0) & (pixels < pixels.new_tensor(extent))).all(1)
        if outside.any():
            raise PictureError(f"points: {pixels[outside][0].tolist()} is outside of {extent} (width, height)")
        return pixels.long()

    def panels(self) -> dict[str, Image.Image]:
        """The pictures of a figure by their titles."""
        read = {"condition": self.condition} | ({} if self.strokes is None else {"strokes as read": self.strokes})
        made = {"first warp": self.warp, "result": self.image, "confidence": colour_map(self.confidence)}
        return read | {"exemplar": self.exemplar} | made

    def figure(self, scale: float | None = None) -> Image.Image:
        """The pictures side by side, with lines between corresponding points of the condition and the exemplar.

        Args:
            scale: enlargement of the result, to a height of 8 to 1024 pixels; by default to `_SIDE`.

        Raises:
            OutOfLimits: it is none.
        """
        height = self.warp.height
        if scale is not None:
            number(_SMALLEST / height, LARGEST / height, scale=scale)
        panels = self.panels()
        sheet = Sheet([list(panels.values())], list(panels), _SIDE if scale is None else round(height * scale))
        right = list(panels).index("exemplar")
        sheet.connect(self.lines(), row=0, columns=(right - 1, right))
        return sheet.image

    def lines(self) -> list[Line]:
        """The correspondences as shares of the width and height of condition and exemplar."""
        extent = self.correspondences.new_tensor([*self.warp.size, *self.exemplar.size])
        return [((x, y), (u, v)) for x, y, u, v in ((self.correspondences + 0.5) / extent).tolist()]


def _share(pixel: tuple[float, float], extent: tuple[int, int], name: str) -> tuple[float, float]:
    """The middle of a pixel (x, y) in shares of a picture's width and height."""
    try:
        x, y = map(float, pixel)
    except (TypeError, ValueError):
        raise PictureError(f"expected x and y in pixels of the {name}, got {pixel}") from None
    width, height = extent
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        raise PictureError(f"({x:g}, {y:g}) is outside of the {name}, {width} x {height} pixels from (0, 0)")
    return (x + 0.5) / width, (y + 0.5) / height
