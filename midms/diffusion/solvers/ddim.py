"""Denoising diffusion implicit models, cut in half at x0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from midms.core.limits import LARGE, number, whole
from midms.core.types import Draw, Level, Step
from midms.diffusion.levels import Schedule, levels, signal_and_noise


@dataclass(frozen=True)
class DDIM:
    """Song et al. 2021 (arXiv:2010.02502), eq. 12.

    | here        | there                              |
    |-------------|------------------------------------|
    | `step.x0`   | predicted x_0                      |
    | `step.eps`  | epsilon_theta(x_t)                 |
    | `churn`     | sigma_t                            |
    | `to.signal` | sqrt(alpha_{t-1}), `to.noise` sqrt(1 - alpha_{t-1}) |

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
            signal_and_noise(self.schedule, self.start)

    def noise(self, x0: Float[Tensor, "b c h w"], draw: Draw) -> Float[Tensor, "b c h w"]:
        """Bring a clean latent to the start."""
        first = self.levels[0]
        signal, noise = first.signal, first.noise
        if self.start is not None:
            signal, noise = signal_and_noise(self.schedule, self.start)
        return signal * x0 + noise * draw(tuple(x0.shape)).to(x0)

    def predict(
        self,
        denoise: Callable[[Tensor, Level], Tensor],
        x: Float[Tensor, "b c h w"],
        level: Level,
        previous: Step | None,
    ) -> Step:
        """x0, and the eps that explains x with it."""
        x0 = denoise(x, level)
        return Step(level, x0, (x - level.signal * x0) / level.noise)

    def advance(self, step: Step, to: Level, draw: Draw) -> Float[Tensor, "b c h w"]:
        """x at the next level, from an x0 that may have been edited and the eps that was predicted."""
        here = step.level
        churn = self.eta * to.noise / here.noise * (1 - (here.signal / to.signal) ** 2) ** 0.5
        x = to.signal * step.x0 + (to.noise**2 - churn**2) ** 0.5 * step.eps
        return x + churn * draw(tuple(x.shape)).to(x) if churn else x
