"""Heun's method, cut at x0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from midms.core.types import Level, NoiseFn, Step
from midms.diffusion.levels import Schedule, levels
from midms.diffusion.solvers.steps import carried, explained, noised


@dataclass(frozen=True)
class Heun:
    """Karras et al. 2022 (arXiv:2206.00364), alg. 1: the slope is the mean of those at both ends. Order 2.

    With z = x / alpha and s = sigma / alpha the equation is dz/ds = eps. The network is asked twice a level,
    but for the last: at the level, and where an Euler step would lead. The step's eps is the mean of both, its x0 that
    which explains x with it; an edit of this x0 is taken to the next level as by DDIM.

    Args:
        timesteps: from the noisiest to the cleanest; what the network is told.
        schedule: one of `midms.diffusion.levels.SCHEDULES`, or betas.
        levels: follows from the others.

    Raises:
        ValueError: timesteps do not fall or the schedule is unknown.
    """

    timesteps: tuple[int, ...]
    schedule: Schedule = "cosine"
    levels: tuple[Level, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", levels(self.schedule, self.timesteps))

    def noise(self, x0: Float[Tensor, "b c h w"], draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """Bring a clean latent to the first level."""
        return noised(x0, self.levels[0], draw)

    def predict(
        self,
        denoise: Callable[[Tensor, Level], Tensor],
        x: Float[Tensor, "b c h w"],
        level: Level,
        previous: Step | None,
    ) -> Step:
        """The mean slope as eps, and the x0 that explains x with it."""
        step = explained(x, denoise(x, level), level)
        if level.index + 1 == len(self.levels):
            return step
        to = self.levels[level.index + 1]
        ahead = carried(x, step.x0, level, to)
        slope = (step.eps + explained(ahead, denoise(ahead, to), to).eps) / 2
        return Step(level, (x - level.sigma * slope) / level.alpha, slope)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """x at the next level, straight along the mean slope."""
        return to.alpha * step.x0 + to.sigma * step.eps
