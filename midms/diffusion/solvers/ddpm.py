"""Denoising diffusion probabilistic models, cut in half at x0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from midms.core.types import Level, NoiseFn, Step
from midms.diffusion.levels import Schedule, levels


@dataclass(frozen=True)
class DDPM:
    """Ho et al. 2020 (arXiv:2006.11239), eq. 6-7, with the posterior variance, between any two timesteps.

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
        start = self.levels[0]
        return start.alpha * x0 + start.sigma * draw(tuple(x0.shape)).to(x0)

    def predict(
        self,
        denoise: Callable[[Tensor, Level], Tensor],
        x: Float[Tensor, "b c h w"],
        level: Level,
        previous: Step | None,
    ) -> Step:
        """x0, and the eps that explains x with it."""
        x0 = denoise(x, level)
        return Step(level, x0, (x - level.alpha * x0) / level.sigma)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """A draw from q(x_{t-1} | x_t, x0), x_t being what x0 and eps say it was."""
        here = step.level
        x = here.alpha * step.x0 + here.sigma * step.eps
        alpha = (here.alpha / to.alpha) ** 2
        beta = 1 - alpha
        mean = (to.alpha * beta * step.x0 + alpha**0.5 * to.sigma**2 * x) / here.sigma**2
        return mean + (beta * to.sigma**2 / here.sigma**2) ** 0.5 * draw(tuple(x.shape)).to(x)
