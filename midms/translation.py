"""Translation for people: any pictures in, pictures and the correspondence out."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, overload, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn

from midms.matching.mosaic import side_by_side
from midms.networks.precision import precise
from midms.pictures import PictureError, native_size, to_pil
from midms.pictures.figure import Line, Sheet, colour_map
from midms.pictures.given import exemplars, mapped, masked
from midms.protocols import AnnotationReader, Autoencoder, ConditionExtractor, Match
from midms.types import Draw, Moment, cells

LARGEST = 1024
"""Pixels of the shorter side beyond which nothing was ever tried."""
POINTS = 12
"""Correspondences that a figure shows."""
SIDE = 256
"""Pixels a side of a figure's pictures."""


@runtime_checkable
class Translator(Protocol):
    """What is asked of a composed method."""

    @property
    def condition(self) -> ConditionExtractor:
        """Makes condition maps."""

    @property
    def autoencoder(self) -> Autoencoder:
        """Pictures to latents and back."""

    @property
    def size(self) -> int:
        """The shorter side in pixels that suits its weights."""

    @property
    def trajectory(self) -> Callable[..., Iterator[Moment]]:
        """(condition, exemplars, their conditions, generator, regions) to the moments of the loop."""

    def modules(self) -> list[nn.Module]:
        """The parts that have weights, which say where and how precisely to compute."""


class Decoded(Sequence[Image.Image]):
    """Pictures that are decoded when they are looked at.

    Args:
        latents: one a picture.
        decode: from a latent to a picture.
    """

    def __init__(self, latents: Sequence[Tensor], decode: Callable[[Tensor], Tensor]) -> None:
        self._latents, self._decode = latents, decode

    def __len__(self) -> int:
        return len(self._latents)

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...
    @overload
    def __getitem__(self, index: slice) -> Decoded: ...
    def __getitem__(self, index: int | slice) -> Image.Image | Decoded:
        """A picture, or some of them."""
        if isinstance(index, slice):
            return Decoded(self._latents[index], self._decode)
        with torch.no_grad():
            return to_pil(self._decode(self._latents[index]))


@dataclass(frozen=True)
class Translation:
    """A translated picture and how it came about.

    Attributes:
        image: the result.
        warp: the exemplar under the first level's match, decoded.
        confidence: in the last match, at each pixel of the result, in [0, 1].
        flow: (x, y) to add to a pixel of the result to find the pixel of the exemplar that the last match takes.
        correspondences: (x, y) in the result and (x, y) in the exemplar of the most telling points, in pixels.
        condition: the drawing as it was read, or a picture of the annotation.
        condition_map: what the method was given of it, in [0, 1], at each pixel of the result.
        strokes: the map's strokes, dark on light; None where the condition is an annotation, which `condition` shows.
        exemplar: at the size at which it was matched; several side by side.
        stages: the predicted picture at each level, decoded when it is asked for.
        warnings: what a person should know before trusting the result, a line each.
    """

    image: Image.Image
    warp: Image.Image
    confidence: Float[Tensor, "Y X"]
    flow: Float[Tensor, "2 Y X"]
    correspondences: Float[Tensor, "n 4"]
    condition: Image.Image
    condition_map: Float[Tensor, "k Y X"]
    strokes: Image.Image | None
    exemplar: Image.Image
    stages: Sequence[Image.Image]
    warnings: tuple[str, ...] = ()

    def panels(self) -> dict[str, Image.Image]:
        """The pictures of a figure by their titles."""
        read = {"condition": self.condition} | ({} if self.strokes is None else {"strokes as read": self.strokes})
        made = {"first warp": self.warp, "result": self.image, "confidence": colour_map(self.confidence)}
        return read | {"exemplar": self.exemplar} | made

    def figure(self, scale: float | None = None) -> Image.Image:
        """The pictures side by side, with lines between corresponding points of the condition and the exemplar.

        Args:
            scale: enlargement of the result; by default to a height of `SIDE` pixels.
        """
        panels = self.panels()
        sheet = Sheet([list(panels.values())], list(panels), round(self.image.height * scale) if scale else SIDE)
        right = list(panels).index("exemplar")
        sheet.connect(self.lines(), row=0, columns=(right - 1, right))
        return sheet.image

    def lines(self) -> list[Line]:
        """The correspondences as shares of the width and height of condition and exemplar."""
        extent = torch.tensor([*self.image.size, *self.exemplar.size])
        return [((x, y), (u, v)) for x, y, u, v in ((self.correspondences + 0.5) / extent).tolist()]


def translate(
    run: Translator,
    condition: object,
    exemplar: object,
    *,
    exemplar_condition: object | None = None,
    regions: Sequence[object] | None = None,
    seed: int | None = None,
    generator: torch.Generator | Draw | None = None,
    size: int | None = None,
) -> Translation:
    """Give the exemplar the geometry of the condition.

    The result has the condition's aspect ratio; the exemplar keeps its own.

    Args:
        run: a composed method, as `build` gives it.
        condition: the drawing, a `pictures.Picture`; or, where the method's condition is an `AnnotationReader`, what
            that reads: a label map, a photo with masks, keypoints.
        exemplar: the picture whose colours and textures are wanted, a `pictures.Picture`; or several in a list or
            tuple, of which each part of the drawing takes from the one that is trusted most.
        exemplar_condition: the same of the exemplar, or of each of several; by default made from the exemplar itself,
            where that can be.
        regions: for several exemplars a picture each, white where the drawing is to take from it.
        seed: of the noise; the same seed gives the same picture.
        generator: instead of a seed, where the noise comes from.
        size: pixels of the shorter side; by default the method's own.

    Raises:
        PictureError: a picture or the size cannot be used.
        ValueError: seed and generator are both given.
    """
    if seed is not None and generator is not None:
        raise ValueError("give either a seed or a generator, not both")
    if seed is not None:
        generator = torch.Generator().manual_seed(operator.index(seed))
    stride = run.autoencoder.stride
    size = run.size if size is None else size
    if not 8 * stride <= size <= LARGEST:
        raise PictureError(f"size: expected {8 * stride} to {LARGEST} pixels, got {size}")
    wanted, drawing = mapped(run.condition, condition, "condition", lambda shape: native_size(shape, size, stride))
    shape = _shape(wanted)
    pictures, offered = exemplars(run.condition, exemplar, exemplar_condition, size, stride)
    masks = None if regions is None else masked(regions, shape, len(pictures))
    like = precise(next((p for module in run.modules() for p in module.parameters()), wanted))
    given = [xs and [x.to(like) for x in xs] for xs in (pictures, offered, masks)]
    with torch.no_grad():
        moments = list(run.trajectory(wanted.to(like), given[0], given[1], generator, given[2]))
        warp = to_pil(run.autoencoder.decode(moments[0].warp))
    stages = Decoded([moment.step.x0 for moment in moments], run.autoencoder.decode)
    last, shown = moments[-1], side_by_side(pictures, fill=1.0)
    exemplar_shape = _shape(shown)
    confidence = _enlarge(last.trust.weight, shape)[0, 0].clamp(0, 1).float().cpu()
    flow = pixel_flow(last.match, shape, exemplar_shape, last.warp)[0].float().cpu()
    condition_map = wanted[0].float().cpu()
    points = telling_points(confidence, condition_map, POINTS)
    return Translation(
        image=stages[-1],
        warp=warp,
        confidence=confidence,
        flow=flow,
        correspondences=correspondences(points, flow, exemplar_shape),
        condition=to_pil(drawing),
        condition_map=condition_map,
        strokes=None if isinstance(run.condition, AnnotationReader) else to_pil(1 - 2 * condition_map[None, :1]),
        exemplar=to_pil(shown),
        stages=stages,
    )


def _shape(image: Float[Tensor, "b c Y X"]) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]


def pixel_flow(
    match: Match, shape: tuple[int, int], exemplar_shape: tuple[int, int], like: Tensor
) -> Float[Tensor, "b 2 Y X"]:
    """What to add to each pixel's (x, y) to find where in the exemplar a match takes it from.

    Args:
        match: rows are cells of the condition, columns cells of the exemplar.
        shape: height and width of the condition in pixels.
        exemplar_shape: height and width of the exemplar in pixels.
        like: gives device and dtype.
    """
    place = match.apply(_centres(match.transpose().grid, exemplar_shape, like))
    return _enlarge(place - _centres(match.grid, shape, like), shape)


def _centres(grid: tuple[int, int], shape: tuple[int, int], like: Tensor) -> Float[Tensor, "1 2 h w"]:
    """(x, y) of the middle of each cell, in pixels of a picture of `shape`."""
    cell = like.new_tensor([shape[1] / grid[1], shape[0] / grid[0]]).view(1, 2, 1, 1)
    return (cells(grid[0], grid[1], like) + 0.5) * cell - 0.5


def _enlarge(planes: Float[Tensor, "b c h w"], shape: tuple[int, int]) -> Float[Tensor, "b c Y X"]:
    return F.interpolate(planes, shape, mode="bilinear", align_corners=False)


def telling_points(
    confidence: Float[Tensor, "Y X"], condition: Float[Tensor, "k Y X"], count: int
) -> Int[Tensor, "n 2"]:
    """(x, y) of pixels that are trusted, lie where the condition has something to say, and are far from each other.

    Args:
        confidence: in [0, 1].
        condition: the map; it says something where it varies.
        count: how many points, or fewer if no more are trusted.
    """
    low, high = -F.max_pool2d(-condition, 3, 1, 1), F.max_pool2d(condition, 3, 1, 1)
    interest = (confidence * (high - low).sum(0) ** 2).flatten()
    pixels = cells(confidence.shape[0], confidence.shape[1], interest)[0].flatten(1).T
    distance = torch.full_like(interest, float(max(confidence.shape)))
    chosen: list[int] = []
    for _ in range(count):
        best = int((interest * distance).argmax())
        if interest[best] * distance[best] <= 0:
            break
        chosen.append(best)
        distance = torch.minimum(distance, (pixels - pixels[best]).norm(dim=1))
    return pixels[chosen].long()


def correspondences(
    points: Int[Tensor, "n 2"], flow: Float[Tensor, "2 Y X"], exemplar_shape: tuple[int, int]
) -> Float[Tensor, "n 4"]:
    """(x, y) of points and (x, y) of where a flow finds them in the exemplar."""
    x, y = points.T
    height, width = exemplar_shape
    found = (points + flow[:, y, x].T).clamp(min=0).minimum(flow.new_tensor([width - 1, height - 1]))
    return torch.cat([points.to(flow), found], 1)
