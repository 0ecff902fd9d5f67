"""Translation for people: any pictures in, pictures and the correspondence out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from midms.core.domain import Domain
from midms.core.limits import SEEDS, int_range, side
from midms.core.precision import precise
from midms.core.protocols import AnnotationReader, Autoencoder, ConditionExtractor, FeatureExtractor, Finisher
from midms.core.types import Finished, Noise
from midms.images import PictureError, to_pil
from midms.images.frame import Frame, framed
from midms.images.inputs import mapped, masked, read_exemplars
from midms.loop import Hints, Moment
from midms.loop.multi_exemplar import side_by_side
from midms.pipeline.correspondence import correspondences, enlarge, is_flat, match_to_pixel_flow, telling_points
from midms.pipeline.decoded import Decoded
from midms.pipeline.finishing import finish, hinted_within, part_translator
from midms.pipeline.hints import confined, in_regions, placed, with_any_hints
from midms.pipeline.out_of_domain import unusual
from midms.pipeline.translation import Translation

_FLAT = "the match is flat: all of the drawing takes the same mean of the picture; give the matcher a lower temperature"
"""What is said of a match that tells nothing apart."""
POINTS = 12
"""Correspondences that a figure shows."""


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
            with the region of each pixel, lines belonging to one of their sides; by default the regions that the
            finisher finds, if it finds any. Outside of those with hints the picture is the one without hints, which
            takes the time of two.
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
        """Of a latent alone; or of one with hints and one without, which is seen where the hints do not reach."""
        pictures = frame.crop(pipe.autoencoder.decode(latent))
        return pictures if len(pictures) == 1 or hints is None else confined(pictures[:1], pictures[1:], hints, frame)

    def trajectory(noise: Noise, given: Hints | None) -> Iterator[Moment]:
        return pipe.trajectory(condition_maps.to(like), canvases, maps, noise, cover, given)

    def again(piece: Tensor, masks: Sequence[Tensor] | None) -> Tensor:
        *_, end = pipe.trajectory(piece.to(like), canvases, maps, generator, masks)
        return pipe.autoencoder.decode(end.step.x0)

    shares = cover and [frame.crop(mask) for mask in cover]
    part = part_translator(pipe.condition, drawing, shares, framing, again)

    shown = [one.crop(picture) for one, picture in zip(frames, pictures, strict=True)]

    def finished_of(latent: Tensor, named: Sequence[Tensor] = ()) -> Finished | None:
        if pipe.finisher is None:
            return None
        return finish(pipe.finisher, decode(latent), drawing, [*shown, *named], part)

    with torch.no_grad():
        loop, finished = with_any_hints(trajectory, generator, condition_maps.to(like)), None
        if hints is None or hints.regions is not None or pipe.finisher is not None:
            moments = loop(None)
            latents = [moment.step.x0 for moment in moments]
            finished = finished_of(latents[-1])
        if hints is not None:
            if hints.regions is None and finished is not None and finished.regions is not None:
                hints = in_regions(hints, finished.regions, frame)
            moments, plain = loop(hints), latents if hints.regions is not None else None
            latents = [moment.step.x0 for moment in moments]
            if (hinted := finished_of(latents[-1], hints.swatches)) is not None:
                finished = hinted if finished is None else hinted_within(hinted, finished, hints, frame)
            if plain is not None:
                latents = [torch.cat(both) for both in zip(latents, plain, strict=True)]
        warp = to_pil(decode(moments[0].warp))
        strange = unusual(pipe.domain.usual, pipe.features, pipe.autoencoder, condition_maps.to(like), canvases, maps)
    stages = Decoded(latents, decode)
    last = moments[-1]
    beside = side_by_side(shown, fill=1.0)
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
        correspondences=correspondences(points, flow, (beside.shape[-2], beside.shape[-1])),
        condition=to_pil(drawing),
        condition_map=condition_map,
        strokes=None if isinstance(pipe.condition, AnnotationReader) else to_pil(1 - 2 * condition_map[None, :1]),
        exemplar=to_pil(beside),
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
