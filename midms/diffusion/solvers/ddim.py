"""Denoising diffusion implicit models, cut in half at x0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from midms.core.limits import LARGE, number, whole
from midms.core.types import Level, NoiseFn, Step
from midms.diffusion.levels import Schedule, alpha_sigma, levels


@dataclass(frozen=True)
class DDIM:
    """Song et al. 2021 (arXiv:2010.02502), eq. 12.

    | here        | there                              |
    |-------------|------------------------------------|
    | `step.x0`   | predicted x_0                      |
    | `step.eps`  | epsilon_theta(x_t)                 |
    | `churn`     | sigma_t                            |
    | `to.alpha` | sqrt(alpha_{t-1}), `to.sigma` sqrt(1 - alpha_{t-1}) |

    Args:
        timesteps: from the noisiest to the cleanest; what the network is told.
        schedule: one of `midms.diffusion.levels.SCHEDULES`, or betas.
        eta: 0 is deterministic, 1 has the variance of DDPM.
        start: timestep that a clean latent is noised to before the first step; by default the first of `timesteps`.
            The released MIDMs starts noisier than it tells the network.
        levels: follows from the others.

    Raises:
        ValueError: timesteps do not fall, the schedule is unknown, eta is not in [0, 1], or there is no such timestep.
    """

    timesteps: tuple[int, ...]
    schedule: Schedule = "cosine"
    eta: float = 0.0
    start: int | None = None
    levels: tuple[Level, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        number(0, 1, eta=self.eta)
        object.__setattr__(self, "levels", levels(self.schedule, self.timesteps))
        if self.start is not None:
            whole(0, int(LARGE), start=self.start)
            alpha_sigma(self.schedule, self.start)

    def noise(self, x0: Float[Tensor, "b c h w"], draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """Bring a clean latent to the start."""
        first = self.levels[0]
        alpha, sigma = first.alpha, first.sigma
        if self.start is not None:
            alpha, sigma = alpha_sigma(self.schedule, self.start)
        return alpha * x0 + sigma * draw(tuple(x0.shape)).to(x0)

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
        """x at the next level, from an x0 that may have been edited and the eps that was predicted."""
        here = step.level
        churn = self.eta * to.sigma / here.sigma * (1 - (here.alpha / to.alpha) ** 2) ** 0.5
        x = to.alpha * step.x0 + (to.sigma**2 - churn**2) ** 0.5 * step.eps
        return x + churn * draw(tuple(x.shape)).to(x) if churn else x
