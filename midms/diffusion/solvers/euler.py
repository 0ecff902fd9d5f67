"""Euler's method on the probability-flow equation, cut at x0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from midms.core.types import Level, NoiseFn, Step
from midms.diffusion.levels import Schedule, levels
from midms.diffusion.solvers.steps import explained, noised


@dataclass(frozen=True)
class Euler:
    """Karras et al. 2022 (arXiv:2206.00364), alg. 1 without the correction. Order 1.

    In z = x / alpha and s = sigma / alpha the equation is dz/ds = eps, and a step of Euler's method is the
    step of DDIM: choose either. What differs between the two in practice is the choice of levels, see
    `midms.diffusion.levels.karras`.

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
        """x0, and the eps that explains x with it."""
        return explained(x, denoise(x, level), level)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """z + (s' - s) * eps, times alpha."""
        return to.alpha * step.x0 + to.sigma * step.eps
