"""Translation for people: pictures are read, the loop is run, and what comes of it is reported."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from midms.core.domain import Domain
from midms.core.limits import SEEDS, int_range, side
from midms.core.precision import precise
from midms.core.protocols import AnnotationReader, Autoencoder, ConditionExtractor, FeatureExtractor, Finisher
from midms.core.types import Finished, Noise
from midms.images import PictureError, to_pil
from midms.images.frame import Frame, framed
from midms.images.inputs import Framing, Given, mapped, masked, masked_exemplars, read_exemplars
from midms.loop import Hints, Moment
from midms.loop.inputs import check_finite
from midms.loop.multi_exemplar import side_by_side
from midms.pipeline.correspondence import (
    correspondences,
    enlarge,
    is_flat,
    match_to_pixel_flow,
    nearest_white,
    telling_points,
)
from midms.pipeline.decoded import Decoded
from midms.pipeline.failures import blamed, named_parts
from midms.pipeline.finishing import finish, part_translator
from midms.pipeline.hints import confined, in_regions, painted, placed, repeatable
from midms.pipeline.out_of_domain import unusual
from midms.pipeline.result import Translation

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
        """(condition, exemplars, their conditions, generator, regions, hints, exemplar_regions) to the moments."""

    def modules(self) -> list[nn.Module]:
        """The parts that have weights, which say where and how precisely to compute."""


@torch.no_grad()
def translate(
    pipe: Translator,
    condition: object,
    exemplar: object,
    *,
    exemplar_condition: object | None = None,
    regions: Sequence[object] | None = None,
    exemplar_regions: object | None = None,
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
        exemplar_regions: a picture, white where the exemplar may be taken from; or a list of them in the order of
            exemplars, None or a missing one for all of it.
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
        PartFailed: a part raises something else; names the part, and the error is the cause.
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
    framing = functools.partial(framed, size=size, multiple=stride, square=pipe.domain.square)

    with blamed(named_parts(pipe)):
        read = mapped(pipe.condition, condition, "condition", framing)
        pictures, maps, frames = read_exemplars(pipe.condition, exemplar, exemplar_condition, framing)
        for given in (read.map, *maps):
            check_finite(given, pipe.condition, "condition")
        masks = None if regions is None else masked(regions, read.frame, len(pictures))
        allowed = () if exemplar_regions is None else masked_exemplars(exemplar_regions, frames, stride)
        hints = placed(anchors, colours, hint_regions, read.frame, frames, stride)
        inputs = Inputs(read, pictures, maps, frames, masks, hints, allowed)
        result = _run(pipe, inputs.like_weights(pipe), framing, generator)
        return _report(pipe, inputs, result)


@dataclass(frozen=True)
class Inputs:
    """What a person handed in, on its canvases.

    Attributes:
        condition: its map, picture, frame and warnings.
        pictures: exemplars, in [-1, 1].
        maps: of the exemplars.
        frames: of the exemplars.
        masks: for several exemplars, what of the condition takes from each; None where that was not said.
        hints: of a person; None for none.
        exemplar_masks: of exemplars in their order, what may be taken from each; None for all of it.
    """

    condition: Given
    pictures: list[Float[Tensor, "1 3 _ _"]]
    maps: list[Float[Tensor, "1 k _ _"]]
    frames: list[Frame]
    masks: list[Float[Tensor, "1 1 Y X"]] | None
    hints: Hints | None
    exemplar_masks: Sequence[Float[Tensor, "1 1 _ _"] | None]

    def like_weights(self, pipe: Translator) -> Inputs:
        """The same on the device of the weights, and as precise; the drawing's picture stays as it was read."""
        parameters = (one for module in pipe.modules() for one in module.parameters())
        like = precise(next(parameters, self.condition.map))
        return replace(
            self,
            condition=self.condition._replace(map=self.condition.map.to(like)),
            pictures=[one.to(like) for one in self.pictures],
            maps=[one.to(like) for one in self.maps],
            masks=self.masks and [one.to(like) for one in self.masks],
            exemplar_masks=[one if one is None else one.to(like) for one in self.exemplar_masks],
        )


class LoopResult(NamedTuple):
    """What the loop and the finisher make, with hints or without.

    Attributes:
        moments: of the loop.
        stages: the picture of each moment, without the canvas around it.
        finished: the last of them as the finisher leaves it; None without one.
    """

    moments: list[Moment]
    stages: Decoded
    finished: Finished | None


def _run(pipe: Translator, inputs: Inputs, framing: Framing, generator: Noise) -> LoopResult:
    """The loop and the finisher; twice where hints end at regions, for outside of them nothing may change."""
    (condition, drawing, frame, _), hints, masks = inputs.condition, inputs.hints, inputs.masks
    noise = repeatable(generator, condition)

    def decode(latent: Tensor) -> Tensor:
        return frame.crop(pipe.autoencoder.decode(latent))

    def translate_part(piece: Tensor, masks: Sequence[Tensor] | None) -> Tensor:
        given = inputs.pictures, inputs.maps, generator, masks, None, inputs.exemplar_masks
        *_, end = pipe.trajectory(piece.to(condition), *given)
        return pipe.autoencoder.decode(end.step.x0)

    exemplars = [one.crop(picture) for one, picture in zip(inputs.frames, inputs.pictures, strict=True)]
    for i, allowed in enumerate(inputs.exemplar_masks):  # colours of what may not be taken from are none of its own
        if allowed is not None:
            exemplars[i] = exemplars[i].flatten(2)[..., nearest_white(inputs.frames[i].crop(allowed))]
    part = part_translator(pipe.condition, drawing, masks and [*map(frame.crop, masks)], framing, translate_part)

    def run(hints: Hints | None) -> LoopResult:
        given = inputs.pictures, inputs.maps, noise(), masks, hints, inputs.exemplar_masks
        moments = [*pipe.trajectory(condition, *given)]
        latents = [moment.step.x0 for moment in moments]
        stages = Decoded(latents, decode)
        if pipe.finisher is None:
            return LoopResult(moments, stages, None)
        swatches = [] if hints is None else hints.swatches
        finished = finish(pipe.finisher, decode(latents[-1]), drawing, [*exemplars, *swatches], part)
        return LoopResult(moments, stages, finished)

    if hints is None or (hints.regions is None and pipe.finisher is None):
        return run(hints)
    plain = run(None)
    if hints.regions is None and plain.finished is not None and plain.finished.regions is not None:
        hints = in_regions(hints, plain.finished.regions, frame)
    hinted = run(hints)
    return hinted if hints.regions is None else _confined(hinted, plain, replace(inputs, hints=hints), decode)


def _confined(hinted: LoopResult, plain: LoopResult, inputs: Inputs, decode: Callable[[Tensor], Tensor]) -> LoopResult:
    """The result with hints; where their regions do not reach, pictures and colours are of the one without."""
    finished, hints, frame = plain.finished, inputs.hints, inputs.condition.frame
    assert hints is not None
    if finished is not None and hinted.finished is not None:
        colours = painted(hinted.finished.colours, hints, inputs.pictures, frame)
        finished = replace(finished, colours=confined(colours, finished.colours, hints, frame))
    pairs = zip(hinted.moments, plain.moments, strict=True)
    latents = [torch.cat([one.step.x0, other.step.x0]) for one, other in pairs]

    def decode_both(latent: Tensor) -> Tensor:
        with_hints, without = decode(latent).split(1)
        return confined(with_hints, without, hints, frame)

    return LoopResult(hinted.moments, Decoded(latents, decode_both), finished)


def _report(pipe: Translator, inputs: Inputs, result: LoopResult) -> Translation:
    """What people are given of a result, on the CPU."""
    (condition, drawing, frame, doubts), frames = inputs.condition, inputs.frames
    first, last, finished = result.moments[0], result.moments[-1], result.finished
    computed = inputs.like_weights(pipe)
    given = computed.condition.map, computed.pictures, computed.maps
    strange = unusual(pipe.domain.usual, pipe.features, pipe.autoencoder, *given)
    shown = side_by_side([one.crop(picture) for one, picture in zip(frames, inputs.pictures, strict=True)], fill=1.0)
    confidence = frame.crop(enlarge(last.confidence, frame.canvas))[0, 0].clamp(0, 1).float().cpu()
    source, flow = (
        x[0].cpu() for x in match_to_pixel_flow(last.match, frame, frames, last.warp, inputs.exemplar_masks)
    )
    flow = flow.float()
    condition_map = frame.crop(condition)[0].float().cpu()
    points = telling_points(confidence, condition_map, POINTS)
    return Translation(
        image=result.stages[-1] if finished is None else to_pil(finished.image),
        warp=to_pil(frame.crop(pipe.autoencoder.decode(first.warp))),
        confidence=confidence,
        flow=flow,
        source=source,
        correspondences=correspondences(points, flow, (shown.shape[-2], shown.shape[-1])),
        condition=to_pil(drawing),
        condition_map=condition_map,
        strokes=None if isinstance(pipe.condition, AnnotationReader) else to_pil(1 - 2 * condition_map[None, :1]),
        exemplar=to_pil(shown),
        stages=result.stages,
        frames=(frame, *frames),
        warnings=(
            *doubts,
            *([_FLAT] if is_flat(first.match, last.warp) else []),
            *pipe.domain.warnings(min(frame.canvas), strange),
            *(() if finished is None else finished.warnings),
        ),
        finished=finished,
    )
