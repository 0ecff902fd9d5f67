"""Translation for people: pictures are read, the loop is run, and what comes of it is reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.limits import SEEDS, int_range
from midms.core.types import Finished, Noise
from midms.images import resize
from midms.images.frame import Frame
from midms.loop import Hints
from midms.pipeline.correspondence import nearest_white
from midms.pipeline.decoded import Decoded
from midms.pipeline.failures import naming_parts
from midms.pipeline.finishing import crop_translator, finish
from midms.pipeline.hints import confined, in_regions, painted, repeatable
from midms.pipeline.inputs import Inputs, Stacked, read_inputs, stack
from midms.pipeline.report import LoopResult, translations_of
from midms.pipeline.request import Request, seed_of
from midms.pipeline.result import Translation
from midms.pipeline.translator import Translator

__all__ = ["Translator", "translate", "translate_inputs"]


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
    requests = [Request(pipe, pair.arguments, seed_of(noise)) for pair, noise in zip(pairs, noises, strict=True)]
    result = _run(pipe, pairs, given, [*noises, *(torch.Generator() for _ in range(more))])
    return translations_of(requests, filled, given, result)


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

    masks = given.masks and [*map(frame.crop, given.masks)]
    translate_crop = crop_translator(pipe.condition, drawing, masks, pair.framing, translated)
    swatches = [] if hints is None else hints.swatches
    return finish(pipe.finisher, picture, drawing, [*allowed_exemplars(pair), *swatches], translate_crop)


def allowed_exemplars(pair: Inputs) -> list[Float[Tensor, "1 3 _ _"]]:
    """Exemplars whose colours are wanted; what may not be taken from has the colour beside it."""
    exemplars = [*pair.exemplars.detailed]
    for i, allowed in enumerate(pair.exemplar_masks):
        if allowed is not None:
            mask = resize(pair.exemplars.frames[i].crop(allowed), (exemplars[i].shape[-2], exemplars[i].shape[-1]))
            exemplars[i] = exemplars[i].flatten(2)[..., nearest_white(mask)]
    return exemplars


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
