"""What the loop starts from, and where pictures that a network attends to beside its own come from at each level."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.errors import MidmsError
from midms.core.protocols import Sampler
from midms.core.types import DenoiseFn, Level, Levels, NoiseFn, Step

MOST_CALLS, CLOSE = 10, 1e-5
"""The most calls of the network for a step of inversion, and how far off, of the latent that it should lead to, it may
be to be there."""
_ASTRAY = 1e-3
"""The same, to be there without a warning."""


class NoNoise(MidmsError, ValueError):
    """A sampler that draws nothing at a step, so that no noise can lead where it should."""


@dataclass(frozen=True)
class Start:
    """Where the loop starts.

    Attributes:
        x: the latent at the first level.
        draw: the noise of its steps.
        at: from a level to pictures there: latents of each that was given, at this level of noise.
        warnings: what a person should know of it, a line each.
    """

    x: Float[Tensor, "b c h w"]
    draw: NoiseFn
    at: Callable[[Level], list[Tensor]]
    warnings: tuple[str, ...] = ()


def started(
    start: str,
    sampler: Sampler,
    warp: Float[Tensor, "b c h w"],
    pictures: Sequence[Tensor],
    denoise: DenoiseFn,
    draw: NoiseFn,
) -> Start:
    """Where the loop starts, by the name of a policy's `start`.

    Args:
        start: one of `midms.loop.policy.STARTS`.
        sampler: whose levels it starts before.
        warp: the exemplar's latent under the first match.
        pictures: the condition's latent, then those of exemplars; may be empty for "noise" and "renoise".
        denoise: from a latent and its level to x0.
        draw: the noise.

    Raises:
        NoNoise: the start is "edit-friendly", and a step of the sampler draws nothing.
    """
    levels = sampler.levels
    if start in ("noise", "renoise"):
        x = levels.add_noise(warp, draw) if start == "noise" else draw(tuple(warp.shape)).to(warp)
        return Start(x, draw, lambda level: [level.add_noise(picture, draw) for picture in pictures])
    if start == "invert":
        inverted = [invert(picture, levels, denoise) for picture in pictures]
        paths = [path for path, _ in inverted]
        return Start(paths[0][0], draw, lambda level: [path[level.index] for path in paths], _said_of(inverted))
    paths = [[level.add_noise(picture, draw) for level in levels[:-1]] for picture in pictures]
    ends = [invert(picture, levels, denoise, levels[-1:]) for picture in pictures]
    for path, (end, _) in zip(paths, ends, strict=True):
        path += end
    noises = [*noises_of(paths[0], sampler, denoise)]

    def replayed(shape: tuple[int, ...]) -> Tensor:
        return noises.pop(0) if noises else draw(shape)

    return Start(paths[0][0], replayed, lambda level: [path[level.index] for path in paths], _said_of(ends))


def _said_of(inverted: Sequence[tuple[list[Tensor], float]]) -> tuple[str, ...]:
    """A line where inversions are not exact, by powers of ten, so that it is the same for results that are alike."""
    worst = max(miss for _, miss in inverted)
    if worst <= _ASTRAY:
        return ()
    return (
        f"the inversion is not exact: a step misses the latent that it should lead to by more than"
        f" {10.0 ** math.floor(math.log10(worst)):g} of it; levels closer to each other, weaker guidance or networks in"
        " float32 help",
    )


def invert(
    z: Float[Tensor, "b c h w"], levels: Levels, denoise: DenoiseFn, over: Sequence[Level] | None = None
) -> tuple[list[Tensor], float]:
    """Latents from which the steps of DDIM, or of Euler in a rectified flow, lead to a picture; the noisiest first.

    From the cleanest level up (DDIM inversion, Song et al. 2021, arXiv:2010.02502, sec. 4.3), each step found by
    iteration, so that it leads back where it came from (AIDI, arXiv:2309.04907; ReNoise, arXiv:2403.14602); where steps
    are large, as nearly as iteration gets.

    Args:
        z: a clean latent.
        levels: of the sampler.
        denoise: from a latent and its level to x0.
        over: the cleanest of these levels, where others are not wanted; None for all.

    Returns:
        The latents, and by how much the worst step misses the latent that it should lead to, as a share of that.
    """
    path: list[Tensor] = []
    worst = 0.0
    x, alpha, sigma = z, 1.0, 0.0
    for level in reversed(levels if over is None else over):
        straight = math.isclose(level.alpha + level.sigma, 1, abs_tol=1e-6)
        rate = 1.0 if straight else level.alpha / alpha
        found = x if straight else rate * x
        kept, last, whole = found, math.inf, x.square().mean().item()
        for _ in range(MOST_CALLS):
            x0 = denoise(found, level)
            miss = x - alpha * x0 - sigma / level.sigma * (found - level.alpha * x0)  # by DDIM's step from here
            size = miss.square().mean().item()
            if size >= last:  # steps too large to be led back: it would only go astray
                found = kept
                break
            kept, found, last = found, found + rate * miss, size
            if size <= CLOSE**2 * whole:
                break
        path.append(found)
        worst = max(worst, math.sqrt(last / max(whole, CLOSE)))
        x, alpha, sigma = found, level.alpha, level.sigma
    return path[::-1], worst


def noises_of(path: Sequence[Tensor], sampler: Sampler, denoise: DenoiseFn) -> Iterator[Tensor]:
    """The draws by which a sampler goes from each latent of a path to the next (Huberman-Spiegelglas et al. 2024).

    arXiv:2304.06140, eq. 5: z = (x_next - mean) / deviation, for latents that were noised independently.

    Args:
        path: a latent for each level.
        sampler: which draws noise at each step.
        denoise: from a latent and its level to x0.

    Yields:
        A draw for each step.

    Raises:
        NoNoise: a step draws nothing.
    """
    step: Step | None = None
    for level, to, x, following in zip(sampler.levels, sampler.levels[1:], path, path[1:], strict=False):
        step = sampler.predict(denoise, x, level, step)
        mean, beside = sampler.advance(step, to, torch.zeros), sampler.advance(step, to, torch.ones)
        deviation = (beside - mean).mean().item()
        if not deviation:
            raise NoNoise(
                f"start edit-friendly: {type(sampler).__name__} draws no noise after level {level.index}, expected one "
                "that does, such as ddim(eta=1)"
            )
        yield (following - mean) / deviation
