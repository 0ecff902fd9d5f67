"""Translation for people: pictures are read, the loop is run, and what comes of it is reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.limits import SEEDS, int_range
from midms.core.protocols import AnnotationReader
from midms.core.types import Finished, Noise
from midms.images import resize, to_pil
from midms.images.frame import Frame
from midms.loop import Hints, Moment
from midms.loop.multi_exemplar import side_by_side
from midms.pipeline.correspondence import (
    correspondences,
    enlarge,
    flat_matches,
    match_to_pixel_flow,
    nearest_white,
    telling_points,
)
from midms.pipeline.decoded import Decoded
from midms.pipeline.failures import naming_parts
from midms.pipeline.finishing import crop_translator, finish
from midms.pipeline.hints import confined, in_regions, painted, repeatable
from midms.pipeline.inputs import Inputs, Stacked, read_inputs, stack
from midms.pipeline.out_of_domain import unusual
from midms.pipeline.result import Translation
from midms.pipeline.translator import Translator

__all__ = ["Translator", "translate", "translate_inputs"]

_FLAT = "the match is flat: all of the drawing takes the same mean of the picture; give the matcher a lower temperature"
"""What is said of a match that tells nothing apart."""
POINTS = 12
"""Correspondences that a figure shows."""


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
    inputs = read_inputs(
        pipe,
        condition,
        exemplar,
        exemplar_condition=exemplar_condition,
        regions=regions,
        exemplar_regions=exemplar_regions,
        anchors=anchors,
        colours=colours,
        hint_regions=hint_regions,
        size=size,
    )
    return translate_inputs(pipe, [inputs], [generator])[0]


@naming_parts
@torch.no_grad()
def translate_inputs(
    pipe: Translator, pairs: Sequence[Inputs], noises: Sequence[Noise], at_once: int = 1
) -> list[Translation]:
    """Translate together what was read.

    Args:
        pipe: a composed method.
        pairs: of one `kind`.
        noises: of each, see `midms.core.types.Noise`; where more than one is computed, generators.
        at_once: how many are computed at least, copies of the last filling up: how numbers are rounded depends on it.
            Pairs with hints are computed as they are.

    Raises:
        PartFailed: a part raises something that is not meant for people.
    """
    more = 0 if pairs[0].hints is not None else max(0, at_once - len(pairs))
    filled = [*pairs, *[pairs[-1]] * more]
    given = stack(filled, pipe)
    result = _run(pipe, pairs, given, [*noises, *(torch.Generator() for _ in range(more))])
    return _report(pipe, filled, given, result)


class LoopResult(NamedTuple):
    """What the loop and the finisher make of inputs together, with hints or without.

    Attributes:
        moments: of the loop.
        stages: of each input, the picture of each moment without the canvas around it.
        pictures: of each input, the last of these.
        finished: the same as the finisher leaves them; None without one.
    """

    moments: list[Moment]
    stages: list[Decoded]
    pictures: list[Float[Tensor, "1 3 _ _"]]
    finished: list[Finished | None]


def _run(pipe: Translator, pairs: Sequence[Inputs], given: Stacked, noises: Sequence[Noise]) -> LoopResult:
    """The loop and the finisher; twice where hints end at regions, for outside of them nothing may change."""
    noise = repeatable(noises[0] if len(noises) == 1 else noises, given.condition)  # type: ignore[arg-type]
    decode = pipe.autoencoder.decode

    def decoder(frame: Frame) -> Callable[[Tensor], Tensor]:
        return lambda latent: frame.crop(decode(latent))

    def run(hints: Hints | None) -> LoopResult:
        moments = [
            *pipe.trajectory(
                given.condition, given.pictures, given.maps, noise(), given.masks, hints, given.exemplar_masks
            )
        ]
        latents = [moment.step.x0 for moment in moments]
        found = LoopResult(moments, [], [], [])
        for i, (pair, canvas) in enumerate(zip(pairs, decode(latents[-1]).split(1), strict=False)):
            picture = pair.condition.frame.crop(canvas)
            found.stages.append(Decoded([x0[i : i + 1] for x0 in latents], decoder(pair.condition.frame)))
            found.pictures.append(picture)
            found.finished.append(_finished(pipe, pair, given.only(i), noises[i], picture, hints))
        return found

    hints = pairs[0].hints
    if hints is None or (hints.regions is None and pipe.finisher is None):
        return run(hints)
    plain = run(None)
    if hints.regions is None and plain.finished[0] is not None and plain.finished[0].regions is not None:
        hints = in_regions(hints, plain.finished[0].regions, pairs[0].condition.frame)
    hinted = run(hints)
    return hinted if hints.regions is None else _confined(hinted, plain, replace(pairs[0], hints=hints), decode)


def _finished(
    pipe: Translator, pair: Inputs, given: Stacked, noise: Noise, picture: Tensor, hints: Hints | None
) -> Finished | None:
    """A picture as the finisher leaves it."""
    if pipe.finisher is None:
        return None
    frame, drawing = pair.condition.frame, pair.condition.picture

    def translated(condition: Tensor, masks: Sequence[Tensor] | None) -> Tensor:
        more = given.pictures, given.maps, noise, masks, None, given.exemplar_masks
        *_, end = pipe.trajectory(condition.to(given.condition), *more)
        return pipe.autoencoder.decode(end.step.x0)

    exemplars = [*pair.exemplars.detailed]
    for i, allowed in enumerate(pair.exemplar_masks):  # colours of what may not be taken from are none of its own
        if allowed is not None:
            mask = resize(pair.exemplars.frames[i].crop(allowed), (exemplars[i].shape[-2], exemplars[i].shape[-1]))
            exemplars[i] = exemplars[i].flatten(2)[..., nearest_white(mask)]
    masks = given.masks and [*map(frame.crop, given.masks)]
    translate_crop = crop_translator(pipe.condition, drawing, masks, pair.framing, translated)
    swatches = [] if hints is None else hints.swatches
    return finish(pipe.finisher, picture, drawing, [*exemplars, *swatches], translate_crop)


def _confined(hinted: LoopResult, plain: LoopResult, pair: Inputs, decode: Callable[[Tensor], Tensor]) -> LoopResult:
    """The result with hints; where their regions do not reach, pictures and colours are of the one without."""
    finished, hints, frame = plain.finished[0], pair.hints, pair.condition.frame
    assert hints is not None
    if finished is not None and hinted.finished[0] is not None:
        detailed = [one.pad(whole) for one, whole in zip(pair.exemplars.frames, pair.exemplars.detailed, strict=True)]
        colours = painted(hinted.finished[0].colours, hints, detailed, frame)
        finished = replace(finished, colours=confined(colours, finished.colours, hints, frame))
    moments = zip(hinted.moments, plain.moments, strict=True)
    latents = [torch.cat([one.step.x0, other.step.x0]) for one, other in moments]

    def decode_both(latent: Tensor) -> Tensor:
        with_hints, without = (frame.crop(decode(x0)) for x0 in latent.split(1))
        return confined(with_hints, without, hints, frame)

    picture = confined(hinted.pictures[0], plain.pictures[0], hints, frame)
    return LoopResult(hinted.moments, [Decoded(latents, decode_both)], [picture], [finished])


def _report(pipe: Translator, pairs: Sequence[Inputs], given: Stacked, result: LoopResult) -> list[Translation]:
    """What people are given of results, on the CPU."""
    first, last = result.moments[0], result.moments[-1]
    strange = unusual(pipe.domain.usual, pipe.features, pipe.autoencoder, given.condition, given.pictures, given.maps)
    flows = match_to_pixel_flow(
        last.match,
        [pair.condition.frame for pair in pairs],
        [pair.exemplars.frames for pair in pairs],
        last.warp,
        [pair.exemplar_masks for pair in pairs],
    )
    found = zip(
        pairs,
        pipe.autoencoder.decode(first.warp).split(1),
        enlarge(last.confidence, pairs[0].condition.frame.canvas).split(1),
        flows,
        flat_matches(first.match, last.warp),
        strange,
        result.stages,
        result.pictures,
        result.finished,
        strict=False,  # of copies that filled up nothing is wanted
    )
    return [_translation(pipe, *one) for one in found]


def _translation(
    pipe: Translator,
    pair: Inputs,
    warp: Float[Tensor, "1 3 Y X"],
    trusted: Float[Tensor, "1 1 Y X"],
    origin: tuple[Tensor, Tensor],
    flat: bool,
    strange: tuple[str, ...],
    stages: Decoded,
    picture: Float[Tensor, "1 3 y x"],
    finished: Finished | None,
) -> Translation:
    (condition, drawing, frame, doubts), frames = pair.condition, pair.exemplars.frames
    shown = side_by_side(
        [one.crop(whole) for one, whole in zip(frames, pair.exemplars.pictures, strict=True)], fill=1.0
    )
    confidence = frame.crop(trusted)[0, 0].clamp(0, 1).float().cpu()
    source, flow = origin[0].cpu(), origin[1].cpu().float()
    condition_map = frame.crop(condition)[0].float().cpu()
    points = telling_points(confidence, condition_map, POINTS)
    return Translation(
        image=to_pil(picture if finished is None else finished.image),
        warp=to_pil(frame.crop(warp)),
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
            *([_FLAT] if flat else []),
            *pipe.domain.warnings(min(frame.canvas), strange),
            *(() if finished is None else finished.warnings),
        ),
        finished=finished,
    )
