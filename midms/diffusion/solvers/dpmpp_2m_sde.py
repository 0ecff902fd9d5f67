"""SDE-DPM-Solver++ with two levels, cut at x0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from midms.core.types import Level, NoiseFn, Step
from midms.diffusion.levels import Schedule, levels
from midms.diffusion.solvers.steps import drawn, explained, extrapolated, latent, noised


@dataclass(frozen=True)
class DPMPP2MSDE:
    """Lu et al. 2022 (arXiv:2211.01095), app. B, midpoint form: `dpmpp-2m` for the stochastic equation.

    The ancestral step with D = x0 + (x0 - x0_before) / (2 r), where r is the last step over this one in half log-SNR.
    An edited x0 is extrapolated as it was edited. Order 2 on the variance of a Gaussian. To choose where many steps can
    be afforded: noise mends what earlier steps did wrong.

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
        """x0, the eps that explains x with it, and the x0 before."""
        return explained(x, denoise(x, level), level, (previous.x0,) if previous else ())

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """A draw at the next level, x0 being what the last two make of it."""
        return drawn(latent(step), extrapolated(step, to, self.levels), step.level, to, draw)
