"""What people are given of results: pictures, flows, confidences, warnings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from midms.core.protocols import AnnotationReader
from midms.core.types import Finished
from midms.images import to_pil
from midms.loop import Moment
from midms.loop.multi_exemplar import side_by_side
from midms.pipeline.correspondence import (
    concentration,
    correspondences,
    enlarge,
    flat_matches,
    match_to_pixel_flow,
    telling_points,
)
from midms.pipeline.decoded import Decoded
from midms.pipeline.hints import HINT_KINDS, hint_warnings
from midms.pipeline.inputs import Inputs, Stacked
from midms.pipeline.match_rows import MatchRows, match_rows
from midms.pipeline.out_of_domain import unusual
from midms.pipeline.request import Request
from midms.pipeline.result import Translation

_FLAT = "the match is flat: all of the drawing takes the same mean of the picture; give the matcher a lower temperature"
"""What is said of a match that tells nothing apart."""
POINTS = 12
"""Correspondences that a figure shows."""


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


def translations_of(
    requests: Sequence[Request], pairs: Sequence[Inputs], given: Stacked, result: LoopResult
) -> list[Translation]:
    """What people are given of results, on the CPU.

    Args:
        requests: of each translation that is wanted.
        pairs: inputs of these, then of copies that filled up.
        given: all of them stacked.
        result: what the loop and the finisher made of them.
    """
    pipe = requests[0].pipe
    first, last = result.moments[0], result.moments[-1]
    warp = pipe.autoencoder.decode(first.warp)
    strange = unusual(pipe.domain.usual, pipe.features, pipe.autoencoder, given.condition, given.pictures, given.maps)
    flows = match_to_pixel_flow(
        last.match,
        [pair.condition.frame for pair in pairs],
        [pair.exemplars.frames for pair in pairs],
        last.warp,
        [pair.exemplar_masks for pair in pairs],
    )
    frames = [(pair.condition.frame, tuple(pair.exemplars.frames)) for pair in pairs]
    matches = [
        functools.cache(functools.partial(match_rows, last.match, i, *frames[i], last.warp)) for i in range(len(pairs))
    ]
    found = zip(
        requests,
        pairs,
        warp.split(1),
        enlarge(last.confidence, pairs[0].condition.frame.canvas).split(1),
        enlarge(concentration(last.match, last.warp), pairs[0].condition.frame.canvas).split(1),
        flows,
        flat_matches(first.match, warp, given.pictures),
        strange,
        result.stages,
        result.pictures,
        result.finished,
        matches,
        repeat(first.warnings),
        strict=False,  # of copies that filled up nothing is wanted
    )
    return [_translation(*one) for one in found]


def _translation(
    request: Request,
    pair: Inputs,
    warp: Float[Tensor, "1 3 Y X"],
    trusted: Float[Tensor, "1 1 Y X"],
    one_place: Float[Tensor, "1 1 Y X"],
    origin: tuple[Tensor, Tensor],
    flat: bool,
    strange: tuple[str, ...],
    stages: Decoded,
    picture: Float[Tensor, "1 3 y x"],
    finished: Finished | None,
    rows: Callable[[], MatchRows],
    said: tuple[str, ...],
) -> Translation:
    pipe = request.pipe
    (condition, drawing, frame, doubts), frames = pair.condition, pair.exemplars.frames
    shown = side_by_side(
        [one.crop(whole) for one, whole in zip(frames, pair.exemplars.pictures, strict=True)], fill=1.0
    )
    confidence = frame.crop(trusted)[0, 0].clamp(0, 1).float().cpu()
    source, flow = origin[0].cpu(), origin[1].cpu().float()
    condition_map = frame.crop(condition)[0].float().cpu()
    points = telling_points(confidence * frame.crop(one_place)[0, 0].float().cpu(), condition_map, POINTS)
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
            *pair.exemplars.warnings,
            *hint_warnings(pipe, [kind for kind in HINT_KINDS if getattr(pair.hints, kind, ())]),
            *([_FLAT] if flat else []),
            *pipe.domain.warnings(min(frame.canvas), strange),
            *said,
            *(() if finished is None else finished.warnings),
        ),
        finished=finished,
        match_rows=rows,
        request=request,
    )
