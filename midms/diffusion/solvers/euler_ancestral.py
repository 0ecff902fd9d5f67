"""Ancestral sampling by Euler steps, cut at x0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from midms.core.types import Level, NoiseFn, Step
from midms.diffusion.levels import Schedule, levels
from midms.diffusion.solvers.steps import explained, noised


@dataclass(frozen=True)
class EulerAncestral:
    """The ancestral sampler of k-diffusion: an Euler step down past the next level, and noise back up to it. Order 1.

    With z = x / alpha and s = sigma / alpha,

        up^2 = s'^2 (s^2 - s'^2) / s^2,   down^2 = s'^2 - up^2,   z' = z + (down - s) eps + up n

    (Karras et al. 2022, arXiv:2206.00364, sec. 4, of Song et al. 2021, arXiv:2011.13456, app. F). On levels that keep
    the variance this is the distribution of DDPM and of DDIM with eta 1.

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
        """Down, then up by a draw."""
        here, above = step.level.sigma / step.level.alpha, to.sigma / to.alpha
        up = above * (1 - (above / here) ** 2) ** 0.5
        down = above**2 / here
        return to.alpha * (step.x0 + down * step.eps + up * draw(tuple(step.x0.shape)).to(step.x0))
