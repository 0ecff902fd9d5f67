"""Translation for people: any pictures in, pictures and the correspondence out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn

from midms.core.domain import Domain
from midms.core.limits import LARGEST, SEEDS, int_range, number, side
from midms.core.precision import precise
from midms.core.protocols import AnnotationReader, Autoencoder, ConditionExtractor, FeatureExtractor, Finisher
from midms.core.types import Finished, Noise
from midms.images import PictureError, to_pil
from midms.images.arrays import is_array, to_array
from midms.images.figure import Line, Sheet, colour_map
from midms.images.frame import Frame, framed
from midms.images.inputs import mapped, masked, read_exemplars
from midms.loop import Hints, Moment
from midms.loop.multi_exemplar import side_by_side
from midms.pipeline.correspondence import (
    Origins,
    correspondences,
    enlarge,
    is_flat,
    match_to_pixel_flow,
    origins,
    telling_points,
)
from midms.pipeline.decoded import Decoded
from midms.pipeline.finishing import finish, layer_pictures, part_translator
from midms.pipeline.hints import confined, placed, with_hints
from midms.pipeline.out_of_domain import unusual

_FLAT = "the match is flat: all of the drawing takes the same mean of the picture; give the matcher a lower temperature"
"""What is said of a match that tells nothing apart."""
POINTS = 12
"""Correspondences that a figure shows."""
_SMALLEST, _SIDE = 8, 256
"""Pixels a side of a figure's pictures, the fewest and the usual."""


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
        """The side in pixels that is taken where none is asked for."""

    @property
    def features(self) -> FeatureExtractor:
        """Of conditions and exemplars."""

    @property
    def finisher(self) -> Finisher | None:
        """Brings the result to the drawing's size, or nothing does."""

    @property
    def domain(self) -> Domain:
        """What its weights were trained on."""

    @property
    def trajectory(self) -> Callable[..., Iterator[Moment]]:
        """(condition, exemplars, their conditions, generator, regions, hints) to the moments of the loop."""

    def modules(self) -> list[nn.Module]:
        """The parts that have weights, which say where and how precisely to compute."""


@dataclass(frozen=True)
class Translation:
    """A translated picture and how it came about.

    Attributes:
        image: the result, as its finisher leaves it.
        warp: the exemplar under the first level's match, decoded.
        confidence: in the last match, at each pixel of the result, in [0, 1].
        flow: (x, y) to add to a pixel of the result to find the pixel of the exemplar that the last match takes.
        source: from which exemplar the last match takes each pixel of the result, from 0.
        correspondences: (x, y) in the result and (x, y) in the exemplar of the most telling points, in pixels.
        condition: the drawing as it was read, of a photo the sheet alone; or a picture of the annotation.
        condition_map: what the method was given of it, in [0, 1], at each pixel of the result.
        strokes: the map's strokes, dark on light; None where the condition is an annotation, which `condition` shows.
        exemplar: at the size at which it was matched; several side by side.
        stages: the predicted picture at each level, decoded when it is asked for; a finisher was given the last.
        frames: of the condition, and of each exemplar: their sizes as they were matched, and the way back.
        warnings: what a person should know before trusting the result, a line each.
        finished: the result in layers; None without a finisher.

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
    warnings: tuple[str, ...] = ()
    finished: Finished | None = None

    def layers(self) -> dict[str, Image.Image]:
        """Pictures of the result's colours, lines and regions, by these names; none where it has no such layers."""
        return {} if self.finished is None else layer_pictures(self.finished)

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


def translate(
    pipe: Translator,
    condition: object,
    exemplar: object,
    *,
    exemplar_condition: object | None = None,
    regions: Sequence[object] | None = None,
    anchors: object | None = None,
    colours: object | None = None,
    hint_regions: object | None = None,
    seed: int | None = None,
    generator: Noise = None,
    size: int | None = None,
) -> Translation:
    """Give the exemplar the geometry of the condition.

    The result has the condition's aspect ratio, of a photo of a drawing the sheet's; the exemplar keeps its own.

    Args:
        pipe: a composed method, as `build` gives it.
        condition: the drawing, a `images.Picture`; or, where the method's condition is an `AnnotationReader`, what
            that reads: a label map, a photo with masks, keypoints.
        exemplar: the picture whose colours and textures are wanted, a `midms.images.Picture`; or several in a list or
            tuple, of which each part of the drawing takes from the one that is trusted most.
        exemplar_condition: the same of the exemplar, or of each of several; by default made from the exemplar itself,
            where that can be.
        regions: for several exemplars a picture each, white where the drawing is to take from it.
        anchors: places of the drawing that take from places of the exemplar, such as `[{"here": (30, 40), "there":
            (52, 61)}]`, in pixels of both as they were handed in; or a JSON file with such a list. See
            `midms.pipeline.hints.PixelAnchor`.
        colours: places of the drawing that have a colour, such as `[{"here": (30, 40), "colour": "#c04020"}]`, or a
            JSON file; see `PixelColour` there.
        hint_regions: where anchors and colours end: a label map of the drawing, in its proportions, at any resolution,
            with the region of each pixel, lines belonging to one of their sides. Outside of those with hints the
            picture is the one without hints, which takes the time of two.
        seed: of the noise; the same seed gives the same picture.
        generator: instead of a seed, where the noise comes from, see `midms.core.types.Noise`.
        size: pixels of the shorter side; of the longer where the weights know square pictures alone, for then what is
            not square is laid in a square whose rest repeats its edges, and taken out again; a multiple of the
            autoencoder's stride; by default the method's own.

    Raises:
        PictureError: a picture, a hint or the size cannot be used.
        ValueError: seed and generator are both given, or the seed is no whole number.
    """
    if seed is not None and generator is not None:
        raise ValueError("give either a seed or a generator, not both")
    if seed is not None:
        int_range(-SEEDS, SEEDS, seed=seed)
        generator = torch.Generator().manual_seed(int(seed))
    stride = pipe.autoencoder.stride
    size = pipe.size if size is None else size
    if wrong := side(stride, size):
        raise PictureError(f"size: {wrong}")

    def framing(shape: tuple[int, int]) -> Frame:
        return framed(shape, size, stride, pipe.domain.square)

    condition_maps, drawing, frame, doubts = mapped(pipe.condition, condition, "condition", framing)
    pictures, exemplar_maps, frames = read_exemplars(pipe.condition, exemplar, exemplar_condition, framing)
    masks = None if regions is None else masked(regions, frame, len(pictures))
    hints = placed(anchors, colours, hint_regions, frame, frames, stride)
    like = precise(next((p for module in pipe.modules() for p in module.parameters()), condition_maps))
    canvases, maps = ([x.to(like) for x in xs] for xs in (pictures, exemplar_maps))
    cover = masks and [mask.to(like) for mask in masks]

    def decode(latent: Tensor) -> Tensor:
        return frame.crop(confined(pipe.autoencoder.decode(latent), hints))

    def trajectory(noise: Noise, hints: Hints | None) -> Iterator[Moment]:
        return pipe.trajectory(condition_maps.to(like), canvases, maps, noise, cover, hints)

    with torch.no_grad():
        moments, latents = with_hints(trajectory, generator, condition_maps.to(like), hints)
        finished = None
        if pipe.finisher is not None:

            def again(piece: Tensor, masks: Sequence[Tensor] | None) -> Tensor:
                *_, last = pipe.trajectory(piece.to(like), canvases, maps, generator, masks)
                return pipe.autoencoder.decode(last.step.x0)

            shares = cover and [frame.crop(mask) for mask in cover]
            part = part_translator(pipe.condition, drawing, shares, framing, again)
            finished = finish(pipe.finisher, decode(latents[-1]), drawing, part)
        warp = to_pil(decode(moments[0].warp))
        strange = unusual(pipe.domain.usual, pipe.features, pipe.autoencoder, condition_maps.to(like), canvases, maps)
    stages = Decoded(latents, decode)
    last = moments[-1]
    shown = side_by_side([one.crop(picture) for one, picture in zip(frames, pictures, strict=True)], fill=1.0)
    confidence = frame.crop(enlarge(last.confidence, frame.canvas))[0, 0].clamp(0, 1).float().cpu()
    source, flow = (x[0].cpu() for x in match_to_pixel_flow(last.match, frame, frames, last.warp))
    flow = flow.float()
    condition_map = frame.crop(condition_maps)[0].float().cpu()
    flat = [_FLAT] if is_flat(moments[0].match, last.warp) else []
    points = telling_points(confidence, condition_map, POINTS)
    return Translation(
        image=stages[-1] if finished is None else to_pil(finished.image),
        warp=warp,
        confidence=confidence,
        flow=flow,
        source=source,
        correspondences=correspondences(points, flow, (shown.shape[-2], shown.shape[-1])),
        condition=to_pil(drawing),
        condition_map=condition_map,
        strokes=None if isinstance(pipe.condition, AnnotationReader) else to_pil(1 - 2 * condition_map[None, :1]),
        exemplar=to_pil(shown),
        stages=stages,
        frames=(frame, *frames),
        warnings=(
            *doubts,
            *flat,
            *pipe.domain.warnings(min(frame.canvas), strange),
            *(() if finished is None else finished.warnings),
        ),
        finished=finished,
    )
