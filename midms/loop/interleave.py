"""Matching-interleaved diffusion (Seo et al. 2023, arXiv:2209.11047): match, warp, denoise, match again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from midms.core.injection import References
from midms.core.precision import precise
from midms.core.protocols import Match, Sampler
from midms.core.types import Context, Features, Level, Noise, NoiseFn, Step, rendered
from midms.loop.hints import Hints
from midms.loop.inputs import OneOrMore, check_exemplars, check_features, check_finite, noise_fn
from midms.loop.layers import MatchingOfLayers
from midms.loop.multi_exemplar import compare, side_by_side
from midms.loop.parts import Moment, Parts
from midms.loop.policy import INVERSIONS, Policy, outside
from midms.loop.starts import started


@dataclass(frozen=True)
class Encoded:
    """What the loop is given, as it works with it.

    Attributes:
        condition: map.
        latents: of each exemplar, then of what hints take from.
        query: features of the condition.
        keys: features of each exemplar.
        regions: for several exemplars a mask each, in [0, 1]: what of the condition takes from it.
        hints: of a person; None for none.
        exemplar_regions: masks of exemplars in their order, 1 where one may be taken from; None for all of it.
        pictures: the exemplars.
    """

    condition: Float[Tensor, "b k Y X"]
    latents: Sequence[Float[Tensor, "b c _ _"]]
    query: Features
    keys: Sequence[Features]
    regions: Sequence[Float[Tensor, "b 1 Y X"]] | None = None
    hints: Hints | None = None
    exemplar_regions: Sequence[Float[Tensor, "b 1 _ _"] | None] = ()
    pictures: Sequence[Float[Tensor, "b 3 _ _"]] = ()


class Matched(NamedTuple):
    """A match, the exemplar's latent under it, and the confidence in it."""

    match: Match
    warp: Float[Tensor, "b c h w"]
    confidence: Float[Tensor, "b 1 h w"]


def interleave(
    parts: Parts,
    policy: Policy,
    condition: Float[Tensor, "b k Y X"],
    exemplar: OneOrMore,
    exemplar_condition: OneOrMore | None = None,
    generator: Noise = None,
    regions: Sequence[Float[Tensor, "b 1 Y X"]] | None = None,
    hints: Hints | None = None,
    exemplar_regions: Sequence[Float[Tensor, "b 1 _ _"] | None] = (),
) -> Iterator[Moment]:
    """The moments of the loop, one a level, then those of the last pass; gradients flow.

    Every denoising step is cut in half. Between predicting x0 and noising it again, the exemplar may be matched anew
    to what x0 has become. All is in float32, or float64 where that was given: half precision is within networks, see
    `midms.core.precision`.

    Args:
        parts: the record of parts.
        policy: when to match again, and what becomes of x0 then.
        condition: map in [0, 1], sides divisible by the autoencoder's stride.
        exemplar: picture [b 3 Y2 X2] in [-1, 1], of the same or another size; or several in a list, of which each
            cell takes from the one whose match is trusted most.
        exemplar_condition: the exemplar's own map [b k Y2 X2], or a list; made from it where not given.
        generator: for the noise, see `midms.core.types.Noise`.
        regions: for several exemplars a mask each, in [0, 1]: what of the condition takes from it.
        hints: of a person, which every match heeds; None for none.
        exemplar_regions: masks in [0, 1] of exemplars in their order, of their sizes: a cell may be taken from where
            all of it is 0.5 at least; None or a missing one for all of the exemplar.

    Yields:
        What the loop knew at each level, after any re-matching.

    Raises:
        ValueError: a shape, type or number is not as it should be; names the argument.
        NotFinite: a part gives numbers that are not finite; names the slot.
    """
    channels, stride = parts.condition.channels, parts.autoencoder.stride
    pictures, maps = check_exemplars(
        condition, exemplar, exemplar_condition, regions, channels, stride, exemplar_regions
    )
    condition = precise(condition)
    draw = noise_fn(generator, condition)

    latents = [
        check_finite(parts.autoencoder.encode(picture), parts.autoencoder, "autoencoder") for picture in pictures
    ]
    query = check_features(parts.features.condition(condition), parts.features)
    drawn = [
        check_finite(parts.condition.photo(picture), parts.condition, "condition") if given is None else given
        for picture, given in zip(pictures, maps, strict=True)
    ]
    keys = [
        check_features(parts.features.exemplar(z, one), parts.features) for z, one in zip(latents, drawn, strict=True)
    ]
    hints = hints or None
    if hints is not None:
        latents += hints.latents(latents, parts.autoencoder)
    encoded = Encoded(condition, latents, query, keys, regions, hints, exemplar_regions, pictures)
    yield from denoised(parts, policy, encoded, first_match(parts, encoded), draw)


def first_match(parts: Parts, encoded: Encoded) -> Matched:
    """The match that the loop starts from.

    Args:
        parts: the record of parts.
        encoded: latents and features.

    Raises:
        NotFinite: a part gives numbers that are not finite; names the slot.
    """
    return _matched(parts, encoded, encoded.query.initial, [key.initial for key in encoded.keys])


def denoised(parts: Parts, policy: Policy, encoded: Encoded, matched: Matched, draw: NoiseFn) -> Iterator[Moment]:
    """The loop from its first match on: the moments of `interleave`.

    Args:
        parts: the record of parts.
        policy: when to match again, and what becomes of x0 then.
        encoded: latents and features.
        matched: the first match.
        draw: the noise.

    Yields:
        What the loop knew at each level, after any re-matching.

    Raises:
        NotFinite: a part gives numbers that are not finite; names the slot.
    """
    condition, regions, query, hints = encoded.condition, encoded.regions, encoded.query, encoded.hints
    keys, allowed = [key.rematch for key in encoded.keys], encoded.exemplar_regions
    least = getattr(parts.denoiser, "min_confidence", 0.0)

    def score(x0: Tensor) -> Float[Tensor, "b 1 h w"]:
        found = check_finite(parts.features.rematch_query(x0, outside(query)), parts.features, "features")
        given = outside(keys), outside(regions), hints, outside(allowed)
        confidence = compare(parts.matcher, parts.confidence, found, *given)[1]
        return policy.apply_style(confidence)

    def context() -> Context:
        return Context(matched.warp, condition, policy.apply_style(matched.confidence, least))

    def denoise(x: Tensor, level: Level) -> Tensor:
        check_finite(x, parts.sampler, "sampler")
        return check_finite(parts.denoiser(x, level, context()), parts.denoiser, "denoiser", x.shape)

    def inject(x: Tensor, level: Level) -> Tensor:
        if parts.injection is None:
            return denoise(x, level)
        check_finite(x, parts.sampler, "sampler")
        structure, *exemplars = start.at(level)
        share = min(1.0, 2 * policy.style)
        references = References(exemplars, structure, level.index, len(levels), draw, encoded.pictures, share)
        x0 = parts.injection(parts.denoiser, x, level, context(), references, matching)
        return check_finite(x0, parts.injection, "injection", x.shape)

    step: Step | None = None
    levels, matching = parts.sampler.levels, MatchingOfLayers(policy, regions, allowed)
    start = started(policy.start, parts.sampler, matched.warp, _seen(parts, policy, encoded), denoise, draw)
    for level in levels:
        x = start.x if step is None else parts.sampler.advance(step, level, start.draw)
        step = parts.sampler.predict(inject, x, level, step)
        check_finite(step.x0, parts.sampler, "sampler")
        again = level.index in policy.rematch
        if again:
            seen = step.x0 if policy.match_on == "x0" else x
            found = check_finite(parts.features.rematch_query(seen, query), parts.features, "features")
            matched = _matched(parts, encoded, found, keys)
            step = policy.edit_x0(step, matched.warp, matched.confidence, score, partial(_square, matched, encoded))
            check_finite(step.x0, policy, "policy")
        yield Moment(step, *matched, again, warnings=start.warnings if level.index == 0 else ())
    if parts.refiner is not None and step is not None:
        yield from _refined(parts, parts.refiner, context(), step, matched, draw)


def _refined(
    parts: Parts, refiner: Sampler, context: Context, step: Step, matched: Matched, draw: NoiseFn
) -> Iterator[Moment]:
    """The last pass, of plain diffusion: nothing is matched, edited or injected."""

    def denoise(x: Tensor, level: Level) -> Tensor:
        check_finite(x, refiner, "refiner")
        return check_finite(parts.denoiser(x, level, context), parts.denoiser, "denoiser", x.shape)

    x, last = refiner.levels.add_noise(step.x0, draw), None
    for level in refiner.levels:
        if last is not None:
            x = refiner.advance(last, level, draw)
        last = refiner.predict(denoise, x, level, last)
        check_finite(last.x0, refiner, "refiner")
        yield Moment(last, *matched, rematched=False, stage="refine")


def _seen(parts: Parts, policy: Policy, encoded: Encoded) -> list[Tensor]:
    """Latents that are brought to each level, as far as wanted: that of the condition as a picture, and exemplars'."""
    if parts.injection is None and policy.start not in INVERSIONS:
        return []
    picture = 2 * rendered(encoded.condition) - 1
    structure = check_finite(parts.autoencoder.encode(picture), parts.autoencoder, "autoencoder")
    return [structure, *(encoded.latents[: len(encoded.keys)] if parts.injection is not None else [])]


def _square(matched: Matched, encoded: Encoded) -> Float[Tensor, "b c h w"]:
    return matched.match.apply(side_by_side(encoded.latents).square())


def _matched(parts: Parts, encoded: Encoded, query: Tensor, keys: list[Tensor]) -> Matched:
    given = encoded.regions, encoded.hints, encoded.exemplar_regions
    match, confidence = compare(parts.matcher, parts.confidence, query, keys, *given)
    warp = match.apply(side_by_side(encoded.latents))
    return Matched(match, check_finite(warp, parts.matcher, "matcher"), confidence)
